import { describe, expect, test } from 'vitest';
import { COMMAND_NAMES, COMMAND_TABLE_COLUMNS, commandTable, GUEST_STATES, PLATFORM_STATES } from './commands.ts';
import type { FirmwareFaultId } from './faults.ts';
import { StateProbe } from './state-probe.ts';
import { sevStatusName } from './status.ts';
import { VERSION } from './test-kit.ts';

function probe(fault?: FirmwareFaultId): StateProbe {
  return new StateProbe({
    version: VERSION,
    generation: 'milan',
    ...(fault === undefined ? {} : { faults: new Set([fault]) }),
  });
}

describe('StateProbe', () => {
  test('every command in every state answers as the table of states says', () => {
    const own = probe();
    const seen = COMMAND_NAMES.map((command) => [
      command,
      ...COMMAND_TABLE_COLUMNS.map((state) => sevStatusName(own.try(command, state))),
    ]);
    expect(seen).toEqual(commandTable().map(({ command, cells }) => [command, ...cells.map(({ name }) => name)]));
    expect(GUEST_STATES.length + PLATFORM_STATES.length - 1).toBe(COMMAND_TABLE_COLUMNS.length);
  });

  test('works for firmware whose secrets are not bound to a measurement', () => {
    const old = new StateProbe({ version: { apiMajor: 0, apiMinor: 16, build: 1 }, generation: 'naples' });
    expect(old.try('LAUNCH_SECRET', { platform: 'WORKING', guest: 'LSECRET' })).toBe(0);
  });

  test('shows a fault of the host that it stands for', () => {
    const state = { platform: 'WORKING', guest: 'LSECRET' } as const;
    expect(probe().try('LAUNCH_MEASURE', state)).toBe(2);
    expect(probe('measure-out-of-order').try('LAUNCH_MEASURE', state)).toBe(0);
  });
});
