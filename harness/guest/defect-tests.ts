import { createHash } from 'node:crypto';
import { type LaunchContext, type LaunchDigest, type LaunchSession, verifyLaunch } from '../../attestation/index.ts';
import type { SevFacts } from '../host/facts.ts';
import type { Host } from '../host/host.ts';
import type { ActiveResults, TestResult } from '../host/known-defects/readings.ts';
import { firmwareStatusIn } from '../host/refusal.ts';
import { type BareAnswer, type BareLaunch, launchBare, launchEnd } from '../host/secure-processor/bare-launch.ts';
import { endText, statusWord } from '../host/secure-processor/program.ts';
import { createOwnerSession, type Platform, sessionText } from './platform.ts';
import { demandsEs } from './policies.ts';
import type { GuestLauncher } from './running.ts';

const POLICY = 0x0001;
const ES_POLICY = 0x0005;
const INVALID_CERTIFICATE = 6;
const POLICY_FAILURE = 7;
const UNSUPPORTED = 21;
const [A, B] = ['41', '42'].map((byte) => byte.repeat(16)) as [string, string];
const PAGE_BYTES = 4096;
const NO_ANSWER = 'the host gave no answer';

/** Where a SEV certificate has the numbers of its point, 72 bytes each, little-endian (SEV API, appendix C.1). */
const [X, Y, COORDINATE_BYTES] = [0x14, 0x5c, 72];

/** Owner's keys that an attack on the PDH would send: points of other curves, where orders are small. */
const BAD_POINTS: Readonly<Record<string, (godh: Uint8Array) => void>> = {
  'off the curve': (godh) => {
    godh[Y] = (godh[Y] ?? 0) ^ 1;
  },
  'of order two': (godh) => {
    godh.fill(0, X, Y + COORDINATE_BYTES);
    godh[X] = 1;
  },
  'the origin': (godh) => {
    godh.fill(0, X, Y + COORDINATE_BYTES);
  },
};

export interface DefectTestHost {
  readonly host: Host;
  readonly facts: SevFacts;
  readonly platform: Platform;
  readonly launcher: GuestLauncher;
  /** Of the running firmware: what a measurement is bound to. */
  readonly firmware: Omit<LaunchContext, 'policy'>;
}

/** Tries on the firmware itself what public attacks rely on. Needs a free slot; harms nothing. */
export async function runDefectTests(on: DefectTestHost): Promise<ActiveResults> {
  return {
    badPoints: await tryBadPoints(on),
    debug: await tryDebug(on),
    ciphertext: await tryCiphertext(on),
    addresses: await tryAddresses(on),
    esBesideSnp: await tryEsBesideSnp(on),
  };
}

async function tryBadPoints({ platform, launcher }: DefectTestHost): Promise<TestResult> {
  const answers: { readonly words: string; readonly status: number | undefined }[] = [];
  for (const [name, bend] of Object.entries(BAD_POINTS)) {
    const session = createOwnerSession(platform, POLICY);
    const godh = Uint8Array.from(session.godh);
    bend(godh);
    const given = sessionText({ ...session, godh });
    const launch = await launcher.launch('sev', 'point', { policy: POLICY, session: given, isPaused: true });
    if (launch.outcome === 'started') await launch.guest.stop();
    const status = launch.outcome === 'started' ? 0 : firmwareStatusIn(launch.refusal.text, 'LAUNCH_START');
    const word = launch.outcome === 'started' || status !== undefined ? statusWord(status ?? 0) : launch.refusal.text;
    answers.push({ words: `${name}: ${word}`, status });
  }
  const words = `LAUNCH_START with a point ${answers.map((answer) => answer.words).join('; ')}`;
  // A launch that failed before the firmware saw the point shows nothing.
  if (answers.some(({ status }) => status === undefined)) return { words };
  return { passed: answers.every(({ status }) => status === INVALID_CERTIFICATE), words };
}

async function tryDebug(on: DefectTestHost): Promise<TestResult> {
  const [answer] = await bare(on, [{ loads: [{ page: 0, fillHex: A }], debugPage: 0 }]);
  if (answer === undefined || typeof answer === 'string') return { words: answer ?? NO_ANSWER };
  const { debug } = answer;
  if (debug === undefined) return { words: `the launch failed: ${endText(launchEnd(answer))}` };
  const words = `DBG_DECRYPT under NODBG: ${endText(debug)}`;
  if (debug.errno !== 0 && debug.status !== POLICY_FAILURE) return { words };
  return { passed: debug.errno !== 0, words };
}

/** The host fills a page with A, B and A again, and the firmware encrypts it each time. */
async function tryCiphertext(on: DefectTestHost): Promise<TestResult> {
  const [answer] = await bare(on, [{ loads: [A, B, A].map((fillHex) => ({ page: 0, fillHex })) }]);
  if (answer === undefined || typeof answer === 'string') return { words: answer ?? NO_ANSWER };
  const seen = answer.loads.map(({ seenHex }) => seenHex);
  if (seen.length < 3) return { words: `the launch failed: ${endText(launchEnd(answer))}` };
  const isRepeated = seen[0] === seen[2];
  const words = isRepeated
    ? 'content A, B, A at one place: the ciphertext of both A is the same'
    : 'content A, B, A at one place: the two A look different';
  return { passed: !isRepeated, words };
}

/** The same content in the same order, at exchanged places: one digest for both means that places do not count. */
async function tryAddresses(on: DefectTestHost): Promise<TestResult> {
  const launches = [
    { owner: createOwnerSession(on.platform, POLICY), places: [0, 1] },
    { owner: createOwnerSession(on.platform, POLICY), places: [1, 0] },
  ];
  const answers = await bare(
    on,
    launches.map(({ owner, places }) => ({
      owner,
      loads: places.map((page, index) => ({ page, fillHex: index === 0 ? A : B })),
      isMeasured: true,
    })),
  );
  const digest = digestOf(A, B);
  const verified = launches.map(({ owner }, index) => isMeasured(on, answers[index], owner, digest));
  if (verified.every((one) => one))
    return { passed: false, words: 'two launches with the same pages at exchanged places have the same launch digest' };
  if (verified[0]) return { passed: true, words: 'the same pages at exchanged places have another launch digest' };
  const why = answers.find((answer) => typeof answer === 'string');
  return { words: why ?? 'the measurement of the first launch does not verify' };
}

function digestOf(...fills: readonly string[]): LaunchDigest {
  const hash = createHash('sha256');
  for (const fill of fills) hash.update(Buffer.alloc(PAGE_BYTES, fill, 'hex'));
  return new Uint8Array(hash.digest()) as LaunchDigest;
}

function isMeasured(
  { firmware }: DefectTestHost,
  answer: BareAnswer | string | undefined,
  { tik }: LaunchSession,
  digest: LaunchDigest,
): boolean {
  if (typeof answer !== 'object' || answer.measurement === undefined) return false;
  return verifyLaunch({ measurement: answer.measurement, context: { ...firmware, policy: POLICY }, digest, tik }).ok;
}

async function tryEsBesideSnp(on: DefectTestHost): Promise<TestResult> {
  if (on.facts.kvmParameters.sevSnp !== true) return { words: 'SEV-SNP is off on this host' };
  if (on.facts.kvmParameters.sevEs !== true) return { words: 'SEV-ES is off on this host' };
  const [answer] = await bare(on, [{ policy: ES_POLICY, owner: createOwnerSession(on.platform, ES_POLICY) }]);
  if (answer === undefined || typeof answer === 'string') return { words: answer ?? NO_ANSWER };
  const end = launchEnd(answer);
  if (end.errno !== 0 && end.status !== UNSUPPORTED) return { words: `SEV-ES beside SEV-SNP: ${endText(end)}` };
  return { passed: end.status === UNSUPPORTED, words: `SEV-ES beside SEV-SNP: ${endText(end)}` };
}

/** Launches without QEMU; a text where KVM is out of reach. */
async function bare(
  { host, platform }: DefectTestHost,
  launches: readonly Partial<BareLaunch>[],
): Promise<readonly (BareAnswer | string)[]> {
  const answers = await launchBare(
    host,
    launches.map(({ policy = POLICY, owner = createOwnerSession(platform, policy), ...rest }) => ({
      ...rest,
      policy,
      owner,
      isEs: demandsEs(policy),
    })),
  );
  return 'because' in answers ? launches.map(() => `KVM cannot be asked directly: ${answers.because}`) : answers;
}
