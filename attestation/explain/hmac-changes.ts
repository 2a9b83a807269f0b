import type { Secret } from '../../core/secret.ts';
import { hex32 } from '../measurement/range.ts';
import { formatSevPolicy, SEV_POLICY_FLAGS } from '../policy/sev.ts';
import type { Change } from './changes.ts';
import type { Hypothesis } from './hypothesis.ts';
import { KNOWN_SEV_FIRMWARE } from './known-sev-firmware.ts';
import type { Reading } from './readings.ts';

const POLICY_BITS = 32;

/** Policies that tools and documents use: QEMU, libvirt, nova, the SEV API's example. */
const KNOWN_POLICIES = [0x0, 0x1, 0x3, 0x5, 0x7, 0x13, 0x17, 0x31, 0x33, 0x35, 0x37, 0x3f] as const;

/** Everything that could differ in what the HMAC covers besides the digest, and in its key. */
export function hmacChanges(
  base: Hypothesis,
  readings: readonly Reading[],
  tek: Secret<Uint8Array> | undefined,
): Change[] {
  return [
    ...readingChanges(base, readings),
    ...keyChanges(tek),
    ...versionChanges(base),
    ...policyChanges(base.policy),
  ];
}

/** For pairs: what was given may not have been a measurement at all. */
export const DIGEST_AS_MEASUREMENT: Change = {
  dimension: 'measurement-kind',
  breadth: 'common',
  words: 'what was given as the measurement is the launch digest itself',
  given: 'launch measurement',
  fits: 'launch digest',
  apply: (hypothesis) => ({ ...hypothesis, asDigest: true }),
};

function readingChanges(base: Hypothesis, readings: readonly Reading[]): Change[] {
  return readings
    .filter((reading) => reading !== base.reading)
    .map((reading) => ({
      dimension: 'measurement-encoding',
      breadth: 'common',
      words: `what was given as the measurement is read as ${reading.as}`,
      given: 'base64 of 48 bytes',
      fits: reading.as ?? 'base64 of 48 bytes',
      apply: (hypothesis) => ({ ...hypothesis, reading }),
    }));
}

function keyChanges(tek: Secret<Uint8Array> | undefined): Change[] {
  if (tek === undefined) return [];
  return [
    {
      dimension: 'tik',
      breadth: 'common',
      words: 'TIK and TEK are swapped',
      given: 'TIK',
      fits: 'TEK',
      apply: keyed((hypothesis) => ({ ...hypothesis, key: tek })),
    },
  ];
}

function versionChanges(base: Hypothesis): Change[] {
  const now = formatVersion(base);
  const seen = new Set([now]);
  const changes: Change[] = [];
  const add = (version: Version, breadth: Change['breadth'], note: string) => {
    const fits = formatVersion(version);
    if (seen.has(fits)) return;
    seen.add(fits);
    const { apiMajor, apiMinor, buildId } = version;
    changes.push({
      dimension: 'sev-firmware',
      breadth,
      words: `the SEV firmware is ${fits}${note}, not ${now}`,
      given: now,
      fits,
      apply: keyed((hypothesis) => ({ ...hypothesis, apiMajor, apiMinor, buildId })),
    });
  };
  add({ ...base, apiMajor: base.apiMinor, apiMinor: base.apiMajor }, 'common', ' (major and minor were swapped)');
  for (const known of KNOWN_SEV_FIRMWARE) add(known, 'common', ` (${known.product}; ${known.source})`);
  for (let byte = 0; byte <= 0xff; byte += 1) add({ ...base, buildId: byte }, 'wide', '');
  for (let byte = 0; byte <= 0xff; byte += 1) add({ ...base, apiMinor: byte }, 'wide', '');
  return changes;
}

function policyChanges(given: number): Change[] {
  const seen = new Set([given]);
  const changes: Change[] = [];
  const add = (policy: number, breadth: Change['breadth'], words: string) => {
    if (seen.has(policy)) return;
    seen.add(policy);
    changes.push({
      dimension: 'policy',
      breadth,
      words,
      given: formatSevPolicy(given),
      fits: formatSevPolicy(policy),
      apply: keyed((hypothesis) => ({ ...hypothesis, policy })),
    });
  };
  const instead = (policy: number) => `the policy is ${formatSevPolicy(policy)}, not ${formatSevPolicy(given)}`;
  add(swapBytes(given), 'common', `the policy ${hex32(given)} was taken in big-endian byte order`);
  for (const [name, { bit }] of Object.entries(SEV_POLICY_FLAGS)) {
    const policy = (given ^ (1 << bit)) >>> 0;
    add(policy, 'common', `${instead(policy)}: bit ${bit} (${name}) differs`);
  }
  for (const policy of KNOWN_POLICIES) add(policy, 'common', instead(policy));
  for (let bit = 0; bit < POLICY_BITS; bit += 1) {
    const policy = (given ^ (1 << bit)) >>> 0;
    add(policy, 'wide', `${instead(policy)}: bit ${bit} differs`);
  }
  return changes;
}

/** These change nothing when the digest itself is compared. */
function keyed(apply: (hypothesis: Hypothesis) => Hypothesis): Change['apply'] {
  return (hypothesis) => (hypothesis.asDigest ? undefined : apply(hypothesis));
}

type Version = Pick<Hypothesis, 'apiMajor' | 'apiMinor' | 'buildId'>;

function formatVersion({ apiMajor, apiMinor, buildId }: Version): string {
  return `${apiMajor}.${apiMinor} build ${buildId}`;
}

function swapBytes(value: number): number {
  const bytes = new DataView(new ArrayBuffer(4));
  bytes.setUint32(0, value, false);
  return bytes.getUint32(0, true);
}
