import { HostMemory } from '../memory/host-memory.ts';
import type { CommandName, GuestState, PlatformState } from './commands.ts';
import type { SecureProcessorOptions } from './core.ts';
import { CommandIssuer, SEV_ASID } from './issuer.ts';
import { POLICY } from './policy.ts';
import { SecureProcessor } from './processor.ts';
import { systemRandom } from './random.ts';
import type { SevStatus } from './status.ts';

const ASIDS = { maxAsid: 8, minSevAsid: SEV_ASID };
const ES_ASID = 1;
/** From LUPDATE along the life of a guest: the command that leads to each state. */
const LIFE = [
  ['LSECRET', 'LAUNCH_MEASURE'],
  ['RUNNING', 'LAUNCH_FINISH'],
  ['SUPDATE', 'SEND_START'],
  ['SENT', 'SEND_FINISH'],
] as const;

/** Where a command is to be tried; `UNINIT` of a guest means a handle that no guest has. */
export interface ProbeState {
  readonly platform: PlatformState;
  readonly guest: GuestState;
}

/**
 * A firmware of its own, driven by commands into a state, in which one command with right arguments is issued.
 *
 * It shares version and faults with the host's firmware and nothing else, so that trying a command harms no guest.
 */
export class StateProbe {
  readonly #processor: SecureProcessor;
  readonly #issuer: CommandIssuer;

  constructor({ version, generation, faults }: Pick<SecureProcessorOptions, 'version' | 'generation' | 'faults'>) {
    const memory = new HostMemory({ tweak: 'per-boot', random: systemRandom });
    this.#processor = new SecureProcessor({
      version,
      generation,
      memory,
      ...ASIDS,
      isEsCapable: true,
      ...(faults === undefined ? {} : { faults }),
    });
    this.#issuer = new CommandIssuer(this.#processor, memory, version);
  }

  try(command: CommandName, { platform, guest }: ProbeState): SevStatus {
    this.#enter(platform, guest, command);
    return this.#issuer.issue(command);
  }

  #enter(platform: PlatformState, guest: GuestState, command: CommandName): void {
    const [processor, issuer] = [this.#processor, this.#issuer];
    processor.platform.shutdown();
    issuer.forgetGuest();
    if (platform === 'UNINIT') return;
    processor.platform.init({ es: { trustedRegion: 'allocated' } });
    issuer.issue('DF_FLUSH');
    if (platform === 'INIT') return;
    const isAboutRegisters = command.endsWith('VMSA');
    issuer.open(guest === 'RUPDATE' ? 'RECEIVE_START' : 'LAUNCH_START', isAboutRegisters ? POLICY.ES : 0);
    if (guest === 'UNINIT') {
      issuer.forgetGuest();
      return;
    }
    if (command !== 'ACTIVATE' && command !== 'DECOMMISSION') {
      processor.guests.activate(issuer.handle, isAboutRegisters ? ES_ASID : SEV_ASID);
    }
    const last = LIFE.findIndex(([state]) => state === guest);
    for (const [, step] of LIFE.slice(0, last + 1)) issuer.issue(step);
  }
}
