import { fromBase64, toBase64 } from '../../../core/bytes.ts';
import { toldPolicy } from '../faults/platform-lies.ts';
import { SEV_STATUS, type SevStatus, sevStatusText } from '../kernel/platform.ts';
import type { LiveDomain } from './domain.ts';
import type { Machine } from './machine.ts';

/** An answer of QEMU's monitor about a launch: a value, or its words. */
export type LaunchAnswer<T> = { readonly value: T } | { readonly words: string };

/** What `query-sev` tells; the numbers are those that QEMU asked the firmware for when it started. */
export interface SevState {
  readonly apiMajor: number;
  readonly apiMinor: number;
  readonly build: number;
  readonly policy: number;
  readonly handle: number;
  readonly state: string;
}

/** The launch of a running guest; absent for a guest without encryption. */
export function sevState(machine: Machine, { qemu }: LiveDomain): SevState | undefined {
  const security = qemu.definition.launchSecurity;
  if (qemu.sev?.handle === undefined || security?.type !== 'sev') return undefined;
  const status = machine.sevDriver.processor.platform.status();
  if (status.status !== SEV_STATUS.SUCCESS) return undefined;
  const { apiMajor, apiMinor, build } = status;
  const isStale = qemu.sevState === 'running' && machine.has('sev-state-stale');
  const state = isStale ? 'launch-secret' : qemu.sevState;
  return { apiMajor, apiMinor, build, policy: toldPolicy(machine, security.policy), handle: qemu.sev.handle, state };
}

/** `query-sev-launch-measure`: base64 of measurement and nonce. */
export function launchMeasurement(machine: Machine, { qemu }: LiveDomain): LaunchAnswer<string> {
  const measurement = machine.has('measurement-changes-when-run')
    ? qemu.guest.measurement?.map((byte, at) => (at === 0 && qemu.guest.hasRun ? byte ^ 1 : byte))
    : qemu.guest.measurement;
  return measurement ? { value: toBase64(measurement) } : { words: 'SEV launch measurement is not available' };
}

/** QEMU's numbers for the state of a guest (qapi/misc-target.json, SevState). */
const STATE_NUMBERS = { 'launch-update': 1, 'launch-secret': 2, running: 3 } as const;

export interface SecretArguments {
  readonly header: string;
  readonly secret: string;
  readonly guestAddress: number | undefined;
}

/** Guests that took a secret, for fault second-secret-refused. */
const hasSecret = new WeakSet<object>();
const BLOCK_BYTES = 16;

/** `sev-inject-launch-secret`, with QEMU's checks in their order (target/i386/sev.c). */
export function injectLaunchSecret(
  machine: Machine,
  { qemu }: LiveDomain,
  { header, secret, guestAddress }: SecretArguments,
): LaunchAnswer<Record<never, never>> {
  const address = guestAddress ?? qemu.guest.secretAddress;
  if (address === undefined) return { words: 'SEV: no secret area found in OVMF, gpa must be specified.' };
  if (qemu.sev?.handle === undefined) return { words: 'SEV not enabled for guest' };
  if (qemu.sevState !== 'launch-secret' && !machine.has('secret-while-running'))
    return { words: `SEV: Not in correct state. (LSECRET) ${STATE_NUMBERS[qemu.sevState]}` };
  const headerBytes = fromBase64(header);
  if (headerBytes === undefined) return { words: 'SEV: Failed to decode sequence header' };
  const data = fromBase64(secret);
  if (data === undefined) return { words: 'SEV: Failed to decode data' };
  if (data.length < BLOCK_BYTES && machine.has('short-secret-dropped')) return { value: {} };
  if (hasSecret.has(qemu) && machine.has('second-secret-refused'))
    return failedInjection(SEV_STATUS.INVALID_GUEST_STATE);
  const status = qemu.guest.injectSecret({
    header: headerBytes,
    data,
    guestAddress: address + (machine.has('secret-misplaced') ? 16 : 0),
  });
  if (status === undefined) return { words: `No memory is mapped at address 0x${address.toString(16)}` };
  if (status !== SEV_STATUS.SUCCESS) return failedInjection(status);
  hasSecret.add(qemu);
  return { value: {} };
}

function failedInjection(status: SevStatus): { readonly words: string } {
  return { words: `SEV: failed to inject secret ret=-5 fw_error=${status} '${sevStatusText(status)}'` };
}
