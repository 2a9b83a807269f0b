import { describe, expect, it } from 'vitest';
import { startEmulatedHost } from '../../fakelibvirt/index.ts';
import { connect } from '../../libvirt/index.ts';
import { emulatedShell } from '../shell.ts';
import { readStateTable, specifiedStatus } from './specification.ts';

describe('the specification of states', () => {
  it.each([
    ['LAUNCH_MEASURE', 'WORKING', 'LUPDATE', 0],
    ['LAUNCH_MEASURE', 'WORKING', 'LSECRET', 2],
    ['LAUNCH_MEASURE', 'WORKING', 'none', 16],
    ['LAUNCH_MEASURE', 'INIT', 'none', 1],
    ['PEK_GEN', 'INIT', 'none', 0],
    ['PEK_GEN', 'WORKING', 'RUNNING', 1],
    ['PDH_GEN', 'WORKING', 'RUNNING', 0],
    ['FACTORY_RESET', 'INIT', 'none', 1],
    ['GUEST_STATUS', 'WORKING', 'none', 0],
    ['ACTIVATE', 'WORKING', 'SENT', 2],
    ['NO_SUCH_COMMAND', 'INIT', 'none', 1],
  ] as const)('%s with the platform in %s and the guest in %s has status %i', (command, platform, guest, status) => {
    expect(specifiedStatus(command, { platform, guest })).toBe(status);
  });
});

describe('the table of a host', () => {
  const tableOf = async (...faults: ('measure-status-wrong' | 'pek-gen-while-working')[]) => {
    await using emulated = await startEmulatedHost({ profile: 'milan', faults });
    await using connection = await connect(emulated.uri);
    const table = await readStateTable({ shell: emulatedShell(connection), connection });
    if ('because' in table) throw new Error(table.because);
    return table;
  };

  it('has no deviation on an emulated host, and covers each command in each state', async () => {
    const { deviations, cells, text } = await tableOf();
    expect(deviations).toEqual([]);
    expect(cells).toBe(33 * 9);
    expect(text).toContain('Not asked, because the emulated firmware does not have them: INIT_EX');
  });

  it('names each cell that differs, and marks it', async () => {
    const { deviations, text } = await tableOf('measure-status-wrong');
    expect(deviations[0]).toBe(
      'LAUNCH_MEASURE in WORKING/LSECRET: INVALID_GUEST (16), specified INVALID_GUEST_STATE (2)',
    );
    expect(deviations).toHaveLength(5);
    expect(text).toMatch(/^LAUNCH_MEASURE +1 +1 +16 +\. +16\* +16\*/m);
  });
});
