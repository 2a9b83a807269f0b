import { fromBase64, toBase64 } from '../../../core/bytes.ts';
import { unopened } from './device.ts';
import { type CommandEnd, type ProgramHost, runHostProgram } from './program.ts';

/**
 * An encrypted VM of our own, made with KVM's ioctls and gone at once: it has no vCPUs, no QEMU and runs nothing.
 *
 * It asks the firmware what QEMU never asks: QEMU reads the memory of its guests as ciphertext whatever their policy says.
 */
export interface BareLaunch {
  readonly isEs?: boolean;
  readonly policy: number;
  readonly owner?: { readonly godh: Uint8Array; readonly session: Uint8Array };
  /** Pages (0 to 2) to be filled with a pattern of 16 bytes, measured and encrypted, in this order. */
  readonly loads?: readonly { readonly page: number; readonly fillHex: string }[];
  /** The page that DBG_DECRYPT is asked for. */
  readonly debugPage?: number;
  readonly isMeasured?: boolean;
}

interface Seen extends CommandEnd {
  /** The first 16 bytes, as the host reads them afterwards. */
  readonly seenHex: string;
}

export interface BareAnswer {
  readonly init: CommandEnd;
  readonly start?: CommandEnd;
  /** GUEST_STATUS: what the firmware says the policy is. */
  readonly reportedPolicy?: number;
  readonly loads: readonly Seen[];
  readonly debug?: Seen;
  readonly measure?: CommandEnd;
  readonly measurement?: Uint8Array;
}

/** One argument of a program holds 128 KiB; a launch with a session takes 3 KiB. */
const LAUNCHES_AT_ONCE = 16;

/** Makes the launches one after the other; each has its ASID for moments. `because` where KVM or /dev/sev is out of reach. */
export async function launchBare(
  host: ProgramHost,
  launches: readonly BareLaunch[],
): Promise<readonly BareAnswer[] | { readonly because: string }> {
  const answers: BareAnswer[] = [];
  for (let at = 0; at < launches.length; at += LAUNCHES_AT_ONCE) {
    const wire = launches.slice(at, at + LAUNCHES_AT_ONCE).map(({ isEs = false, owner, loads = [], ...rest }) => ({
      isEs,
      ...rest,
      loads: loads.map((load) => ({ ...load })),
      ...(owner === undefined ? {} : { dhCert: toBase64(owner.godh), session: toBase64(owner.session) }),
    }));
    const answer = await runHostProgram(host, 'bare-launch', { kvm: '/dev/kvm', device: '/dev/sev', launches: wire });
    if (answer.outcome === 'unknown') return { because: answer.because };
    const value = answer.value as { unopened?: number; answers?: readonly WireAnswer[] };
    if (value.answers === undefined) return { because: unopened('/dev/kvm or /dev/sev', value.unopened) };
    answers.push(...value.answers.map(fromWire));
  }
  return answers;
}

type WireAnswer = Omit<BareAnswer, 'measurement'> & { readonly measurement?: string };

function fromWire({ measurement, ...rest }: WireAnswer): BareAnswer {
  if (measurement === undefined) return rest;
  return { ...rest, measurement: fromBase64(measurement) ?? new Uint8Array() };
}

/** How the launch as a whole ended: the first command that failed, or LAUNCH_START's success. */
export function launchEnd({ init, start }: BareAnswer): CommandEnd {
  return init.errno === 0 && start !== undefined ? start : init;
}
