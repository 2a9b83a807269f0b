import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type CommandName, type GuestState, type PlatformState, statusByState } from './commands.ts';
import { generateKeyPair } from './p384.ts';
import { seededRandom } from './random.ts';
import { SEV_STATUS, type SevStatus, sevStatusName } from './status.ts';
import { createMachine, createOwner, godh, type Machine, sealSecret } from './test-kit.ts';

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

/** A world with one guest at most, in which every command is given arguments that are right for its state. */
class World {
  readonly machine: Machine = createMachine();
  readonly #peer = generateKeyPair(seededRandom('peer'));
  #pdh = new Uint8Array();
  handle = 1;
  #measurement = new Uint8Array(32);

  run(command: CommandName): SevStatus {
    const { platform, guests, launch, debug, migration } = this.machine.processor;
    const { handle } = this;
    const keys = { tek: new Uint8Array(16), tik: new Uint8Array(16) };
    const secret = sealSecret(keys, Buffer.alloc(16), this.#measurement);
    switch (command) {
      case 'INIT':
        return platform.init().status;
      case 'SHUTDOWN':
        return platform.shutdown().status;
      case 'FACTORY_RESET':
        return platform.factoryReset().status;
      case 'PLATFORM_STATUS':
        return platform.status().status;
      case 'PEK_GEN':
        return platform.pekGen().status;
      case 'PEK_CSR':
        return platform.pekCsr().status;
      case 'PDH_GEN':
        return platform.pdhGen().status;
      case 'PDH_CERT_EXPORT': {
        const reply = platform.pdhCertExport();
        if (reply.status === SEV_STATUS.SUCCESS) this.#pdh = Uint8Array.from(reply.pdh);
        return reply.status;
      }
      case 'GET_ID':
        return platform.getId().status;
      case 'DF_FLUSH':
        this.machine.processor.writeBack();
        return platform.dfFlush().status;
      case 'DECOMMISSION':
        guests.deactivate(handle);
        return guests.decommission(handle).status;
      case 'GUEST_STATUS':
        return guests.status(handle).status;
      case 'LAUNCH_START':
        return launch.start({ policy: 0 }).status;
      case 'LAUNCH_UPDATE_DATA':
        this.#activate();
        return launch.updateData(handle, 0x1000, 16).status;
      case 'LAUNCH_MEASURE': {
        const reply = launch.measure(handle);
        if (reply.status === SEV_STATUS.SUCCESS) this.#measurement = Uint8Array.from(reply.blob.subarray(0, 32));
        return reply.status;
      }
      case 'LAUNCH_SECRET':
        this.#activate();
        return launch.secret(handle, { ...secret, address: 0x1000 }).status;
      case 'LAUNCH_FINISH':
        return launch.finish(handle).status;
      case 'ATTESTATION':
        return launch.attestation(handle, new Uint8Array(16)).status;
      case 'SEND_START': {
        const none = new Uint8Array();
        return migration.sendStart(handle, { pdh: godh(this.#peer.point), platformChain: none, amdChain: none }).status;
      }
      case 'SEND_UPDATE_DATA':
        this.#activate();
        return migration.sendUpdateData(handle, 0x1000, 16).status;
      case 'SEND_FINISH':
        return migration.sendFinish(handle).status;
      case 'SEND_CANCEL':
        return migration.sendCancel(handle).status;
      case 'RECEIVE_START': {
        const exported = platform.pdhCertExport();
        if (exported.status !== SEV_STATUS.SUCCESS) return exported.status;
        const owner = createOwner(exported.pdh);
        return migration.receiveStart({ policy: 0, dhCert: owner.dhCert, session: owner.session(0) }).status;
      }
      case 'RECEIVE_FINISH':
        return migration.receiveFinish(handle).status;
      case 'DBG_DECRYPT':
        this.#activate();
        return debug.decrypt(handle, 0x1000, 0x2000, 16).status;
      case 'DBG_ENCRYPT':
        this.#activate();
        return debug.encrypt(handle, 0x1000, 0x2000, 16).status;
      default:
        throw new Error(`${command} is not in the list of this test`);
    }
  }

  states(): { platform: PlatformState; guest: GuestState } {
    const status = this.machine.processor.platform.status();
    const guest = this.machine.processor.guests.status(this.handle);
    return {
      platform: 'state' in status ? status.state : 'UNINIT',
      guest: 'state' in guest ? guest.state : 'UNINIT',
    };
  }

  #activate(): void {
    this.machine.processor.writeBack();
    this.machine.processor.platform.dfFlush();
    this.machine.processor.guests.activate(this.handle, 5);
  }
}

/** All but the ones that need a guest with SEV-ES, a signed PEK or a packet of a peer, and ACTIVATE and DEACTIVATE. */
const COMMANDS_TO_TRY = [
  ...['INIT', 'SHUTDOWN', 'FACTORY_RESET', 'PLATFORM_STATUS', 'PEK_GEN', 'PEK_CSR', 'PDH_GEN', 'PDH_CERT_EXPORT'],
  ...['GET_ID', 'DF_FLUSH', 'DECOMMISSION', 'GUEST_STATUS', 'LAUNCH_UPDATE_DATA', 'LAUNCH_MEASURE', 'LAUNCH_SECRET'],
  ...['LAUNCH_FINISH', 'ATTESTATION', 'SEND_START', 'SEND_UPDATE_DATA', 'SEND_FINISH', 'SEND_CANCEL'],
  ...['RECEIVE_FINISH', 'DBG_DECRYPT', 'DBG_ENCRYPT'],
] as CommandName[];
const STARTS = ['LAUNCH_START', 'RECEIVE_START'] as CommandName[];
/** Likely next steps, so that sequences get deep. */
const PATH = [
  'INIT',
  'LAUNCH_MEASURE',
  'LAUNCH_FINISH',
  'RECEIVE_FINISH',
  'SEND_START',
  'SEND_FINISH',
] as CommandName[];

/** The long ways, so that no state is left out by chance. */
const MIGRATED: CommandName[] = [
  'INIT',
  'LAUNCH_START',
  'LAUNCH_MEASURE',
  'LAUNCH_FINISH',
  'SEND_START',
  'SEND_FINISH',
];
const ARRIVING: CommandName[] = ['INIT', 'RECEIVE_START', 'RECEIVE_FINISH'];

test('random sequences of commands never leave the table', () => {
  const reached = new Set<string>();
  const command = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...COMMANDS_TO_TRY.filter((name) => name !== 'SHUTDOWN')) },
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
      }
    }),
    { numRuns: 60, examples: [[MIGRATED], [ARRIVING]] },
  );
  expect([...reached].sort()).toEqual(['LSECRET', 'LUPDATE', 'RUNNING', 'RUPDATE', 'SENT', 'SUPDATE', 'UNINIT']);
}, 60_000);

function statesAfter(name: CommandName, status: SevStatus, before: ReturnType<World['states']>) {
  if (status !== SEV_STATUS.SUCCESS) return before;
  if (name === 'SHUTDOWN') return { platform: 'UNINIT', guest: 'UNINIT' };
  if (name === 'INIT') return { platform: 'INIT', guest: 'UNINIT' };
  const guest = GUEST_AFTER[name] ?? before.guest;
  if (before.platform === 'UNINIT') return { platform: 'UNINIT', guest };
  return { platform: guest === 'UNINIT' ? 'INIT' : 'WORKING', guest };
}
