import { createHash } from 'node:crypto';
import { toBase64 } from '../../../core/bytes.ts';
import { harnessError } from '../../errors.ts';
import type { SevFacts } from '../facts.ts';
import type { Host } from '../host.ts';
import { CERTIFICATE_BYTES, issueCommands, WHOLE_CHAIN } from './device.ts';

/** The certificates that PDH_CERT_EXPORT gives, in its order; the CEK is unsigned in it. */
const ROLES = ['pdh', 'pek', 'oca', 'cek'] as const;
type Role = (typeof ROLES)[number];

/** What a platform's identity is at one moment. */
export interface PlatformKeys {
  readonly pdh: Uint8Array;
  /** PEK, OCA, CEK. */
  readonly chain: Uint8Array;
}

/** PDH and chain from the firmware itself: libvirt keeps what it was told when it started. */
async function readPlatformKeys(host: Host): Promise<PlatformKeys | { readonly because: string }> {
  const answers = await issueCommands(host, [WHOLE_CHAIN]);
  if ('because' in answers) return answers;
  const [pdh, chain] = answers[0]?.outputs ?? [];
  return pdh === undefined || chain === undefined ? { because: 'PDH_CERT_EXPORT failed' } : { pdh, chain };
}

/** The same in the middle of a change. Throws `PLATFORM_KEYS_UNREADABLE`. */
export async function readPlatformKeysOrFail(host: Host): Promise<PlatformKeys> {
  const keys = await readPlatformKeys(host);
  if (!('because' in keys)) return keys;
  throw harnessError('PLATFORM_KEYS_UNREADABLE', `cannot read the platform keys of ${host.name}: ${keys.because}`, {
    hint: 'The firmware answered before: look at the kernel log of ccp for what happened to it.',
  });
}

/** The facts of the host as libvirt would tell them if it asked now. */
export function withKeys(facts: SevFacts, { pdh, chain }: PlatformKeys): SevFacts {
  return { ...facts, nodeSevInfo: { ...facts.nodeSevInfo, pdh: toBase64(pdh), certChain: toBase64(chain) } };
}

/** Which certificates carry another key than before. */
export function changedKeys(before: PlatformKeys, after: PlatformKeys): Record<Role, 'new' | 'same'> {
  const [old, now] = [fingerprints(before), fingerprints(after)];
  const change = (role: Role) => (old[role] === now[role] ? 'same' : 'new');
  return { pdh: change('pdh'), pek: change('pek'), oca: change('oca'), cek: change('cek') };
}

/** The signed part of a certificate: a signature can be made again over the same key. */
const BODY_BYTES = 0x414;

function fingerprints({ pdh, chain }: PlatformKeys): Record<Role, string> {
  const [pek, oca, cek] = [0, 1, 2].map((index) => chain.subarray(index * CERTIFICATE_BYTES));
  return { pdh: fingerprint(pdh), pek: fingerprint(pek), oca: fingerprint(oca), cek: fingerprint(cek) };
}

function fingerprint(certificate: Uint8Array = new Uint8Array()): string {
  return createHash('sha256').update(certificate.subarray(0, BODY_BYTES)).digest('hex');
}

/** A table of the keys at several moments, by the SHA-256 of what is signed of their certificates. */
export function formatKeys(moments: readonly (readonly [string, PlatformKeys])[]): string {
  const rows = moments.map(([moment, keys]) => [moment, fingerprints(keys)] as const);
  return ROLES.flatMap((role) => rows.map(([moment, of]) => `${role}  ${moment.padEnd(24)} ${of[role]}`)).join('\n');
}
