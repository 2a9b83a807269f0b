import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  COMMAND_NAMES,
  type CommandName,
  GUEST_STATES,
  type GuestState,
  type PlatformState,
  statusByState,
} from './commands.ts';
import { CommandIssuer, SEV_ASID } from './issuer.ts';
import { SEV_STATUS, type SevStatus, sevStatusName } from './status.ts';
import { createMachine, type Machine, VERSION } from './test-kit.ts';

/** What a good command does to the states, written from the specification. */
const GUEST_AFTER: Partial<Record<CommandName, GuestState>> = {
  LAUNCH_START: 'LUPDATE',
  LAUNCH_MEASURE: 'LSECRET',
  LAUNCH_FINISH: 'RUNNING',
  SEND_START: 'SUPDATE',
  SEND_CANCEL: 'RUNNING',
  SEND_FINISH: 'SENT',
  RECEIVE_START: 'RUPDATE',
  RECEIVE_FINISH: 'RUNNING',
  DECOMMISSION: 'UNINIT',
};

/** What reaches into memory, and so needs a guest that has an ASID. */
const NEEDS_ASID: readonly CommandName[] = [
  'LAUNCH_UPDATE_DATA',
  'LAUNCH_SECRET',
  'SEND_UPDATE_DATA',
  'RECEIVE_UPDATE_DATA',
  'DBG_DECRYPT',
  'DBG_ENCRYPT',
];

/** A world with one guest at most, in which every command is given arguments that are right for its state. */
class World {
  readonly #processor: Machine['processor'];
  readonly #issuer: CommandIssuer;

  constructor() {
    const { processor, memory } = createMachine();
    this.#processor = processor;
    this.#issuer = new CommandIssuer(processor, memory, VERSION);
  }

  run(command: CommandName): SevStatus {
    const { handle } = this.#issuer;
    if (command === 'DECOMMISSION') this.#processor.guests.deactivate(handle);
    if (NEEDS_ASID.includes(command)) {
      this.#issuer.issue('DF_FLUSH');
      this.#processor.guests.activate(handle, SEV_ASID);
    }
    return this.#issuer.issue(command);
  }

  states(): { platform: PlatformState; guest: GuestState } {
    const status = this.#processor.platform.status();
    const guest = this.#processor.guests.status(this.#issuer.handle);
    return {
      platform: 'state' in status ? status.state : 'UNINIT',
      guest: 'state' in guest ? guest.state : 'UNINIT',
    };
  }
}

/** They need a guest with SEV-ES, or change what guests are active, or give the platform an owner. */
const LEFT_OUT: readonly CommandName[] = [
  'ACTIVATE',
  'DEACTIVATE',
  'LAUNCH_UPDATE_VMSA',
  'PEK_CERT_IMPORT',
  'RECEIVE_UPDATE_VMSA',
  'SEND_UPDATE_VMSA',
];
const COMMANDS_TO_TRY = COMMAND_NAMES.filter((name) => !LEFT_OUT.includes(name));
const STARTS: readonly CommandName[] = ['LAUNCH_START', 'RECEIVE_START'];
/** Likely next steps, so that sequences get deep. */
const PATH: readonly CommandName[] = [
  'INIT',
  'LAUNCH_MEASURE',
  'LAUNCH_FINISH',
  'RECEIVE_FINISH',
  'SEND_START',
  'SEND_FINISH',
];

/** Ways on which every command succeeds once and every state is reached, so that chance leaves none out. */
const way = (words: string) => words.split(/\s+/) as CommandName[];
const WAYS = [
  way('FACTORY_RESET INIT PEK_GEN PEK_CSR PDH_GEN PDH_CERT_EXPORT PLATFORM_STATUS GET_ID DF_FLUSH SHUTDOWN'),
  way('INIT LAUNCH_START LAUNCH_UPDATE_DATA LAUNCH_MEASURE LAUNCH_SECRET ATTESTATION LAUNCH_FINISH GUEST_STATUS'),
  way('INIT LAUNCH_START LAUNCH_MEASURE LAUNCH_FINISH SEND_START SEND_UPDATE_DATA SEND_FINISH DECOMMISSION'),
  way('INIT RECEIVE_START RECEIVE_UPDATE_DATA RECEIVE_FINISH DBG_ENCRYPT DBG_DECRYPT SEND_START SEND_CANCEL'),
];

test('random sequences of commands never leave the table', () => {
  const reached = new Set<GuestState>();
  const succeeded = new Set<CommandName>();
  const command = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom(...COMMANDS_TO_TRY.filter((name) => name !== 'SHUTDOWN' && !STARTS.includes(name))),
    },
    { weight: 4, arbitrary: fc.constantFrom(...PATH) },
    { weight: 2, arbitrary: fc.constantFrom(...STARTS) },
    { weight: 1, arbitrary: fc.constant<CommandName>('SHUTDOWN') },
  );
  fc.assert(
    fc.property(fc.array(command, { minLength: 10, maxLength: 60 }), (sequence) => {
      const world = new World();
      for (const name of sequence) {
        const before = world.states();
        // One guest at a time: a second one would have another handle.
        if (STARTS.includes(name) && before.guest !== 'UNINIT') continue;
        const expected = statusByState(name, before.platform, before.guest);
        const status = world.run(name);
        expect(`${name} in ${before.platform}/${before.guest}: ${sevStatusName(status)}`).toBe(
          `${name} in ${before.platform}/${before.guest}: ${sevStatusName(expected)}`,
        );
        const after = world.states();
        expect({ name, after }).toEqual({ name, after: statesAfter(name, status, before) });
        reached.add(after.guest);
        if (status === SEV_STATUS.SUCCESS) succeeded.add(name);
      }
    }),
    { numRuns: 60, examples: WAYS.map((commands) => [commands]) },
  );
  expect(reached).toEqual(new Set(GUEST_STATES));
  expect(succeeded).toEqual(new Set(COMMANDS_TO_TRY));
}, 60_000);

function statesAfter(name: CommandName, status: SevStatus, before: ReturnType<World['states']>) {
  if (status !== SEV_STATUS.SUCCESS) return before;
  if (name === 'SHUTDOWN') return { platform: 'UNINIT', guest: 'UNINIT' };
  if (name === 'INIT') return { platform: 'INIT', guest: 'UNINIT' };
  const guest = GUEST_AFTER[name] ?? before.guest;
  if (before.platform === 'UNINIT') return { platform: 'UNINIT', guest };
  return { platform: guest === 'UNINIT' ? 'INIT' : 'WORKING', guest };
}
