import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { concatBytes, toBase64, toHex } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import type { LaunchDigest, Mnonce, Tek, Tik } from '../brands.ts';
import { KNOWN_CPUS } from '../measurement/cpu-signature.ts';
import { computeLaunchDigest, type LaunchInputs, resolveVcpuPages, type Vcpus } from '../measurement/digest.ts';
import { computeKernelHashes, encodeKernelHashes, type KernelFiles } from '../measurement/kernel-hashes.ts';
import { computeLaunchMeasurement, type LaunchContext } from '../measurement/measurement.ts';
import { sampleOvmf } from '../measurement/sample-ovmf.ts';
import { patchVmsa } from '../measurement/vmsa.ts';
import { type ExplainInputs, type ExplainProgress, type Explanation, explainLaunch } from './explain.ts';
import { KNOWN_SEV_FIRMWARE } from './known-sev-firmware.ts';

const TIK = new Uint8Array(16).map((_, index) => 0x10 + index) as Tik;
const TEK = new Uint8Array(16).map((_, index) => 0x80 + index) as Tek;
const MNONCE = new Uint8Array(16).map((_, index) => 0xf0 ^ index) as Mnonce;
const CONTEXT: LaunchContext = { apiMajor: 1, apiMinor: 55, buildId: 21, policy: 0x5 };
const FIRMWARE = sampleOvmf();
const KERNEL: KernelFiles = {
  kernel: Buffer.from('a kernel'),
  initrd: Buffer.from('an initrd'),
  cmdline: 'console=ttyS0 root=/dev/vda1',
};
const VCPUS: Vcpus = { kind: 'built', count: 4, cpuSignature: 0x00a0_0f11, form: 'legacy' };
const GUEST = { guestFirmware: FIRMWARE, kernel: KERNEL, vcpus: VCPUS };

/** What really happened; each field replaces one of the baseline. */
interface Truth {
  readonly context?: Partial<LaunchContext>;
  readonly firmware?: Uint8Array;
  readonly kernel?: KernelFiles | undefined;
  readonly kernelBytes?: Uint8Array;
  readonly cmdlineBytes?: string;
  readonly vcpus?: Vcpus | undefined;
  readonly pages?: readonly Uint8Array[];
  readonly key?: Uint8Array;
}

function digestOf(truth: Truth): LaunchDigest {
  const merged = { firmware: FIRMWARE, kernel: KERNEL, vcpus: VCPUS, ...truth };
  const hash = createHash('sha256').update(merged.firmware);
  if (merged.kernelBytes) hash.update(merged.kernelBytes);
  else if (merged.kernel !== undefined) {
    const hashes = computeKernelHashes(merged.kernel);
    const cmdline =
      merged.cmdlineBytes === undefined ? hashes.cmdline : createHash('sha256').update(merged.cmdlineBytes).digest();
    hash.update(encodeKernelHashes({ ...hashes, cmdline }));
  }
  for (const page of merged.pages ?? pagesOf(merged.vcpus, merged.firmware)) hash.update(page);
  return new Uint8Array(hash.digest()) as LaunchDigest;
}

function pagesOf(vcpus: Vcpus | undefined, firmware = FIRMWARE): Uint8Array[] {
  if (vcpus === undefined) return [];
  const { count, bsp, ap } = resolveVcpuPages(vcpus, firmware);
  return Array.from({ length: count }, (_, index) => (index === 0 ? bsp : (ap ?? bsp)));
}

function measured(truth: Truth = {}): Uint8Array {
  const context = { ...CONTEXT, ...truth.context };
  const key = new Secret((truth.key ?? TIK) as Tik);
  return concatBytes(computeLaunchMeasurement(key, context, digestOf(truth), MNONCE), MNONCE);
}

function explain(measurement: string | Uint8Array, given: Partial<ExplainInputs> = {}): Promise<Explanation> {
  return explainLaunch({
    measurement,
    context: CONTEXT,
    tik: new Secret(TIK),
    tek: new Secret(TEK),
    guest: GUEST,
    ...given,
  });
}

function dimensions(explanation: Explanation): string[] {
  return explanation.outcome === 'explained' ? explanation.changes.map(({ dimension }) => dimension) : [];
}

const [BSP, AP] = pagesOf(VCPUS) as [Uint8Array, Uint8Array];
const givenPages = (changes: Partial<{ count: number; bsp: Uint8Array; ap: Uint8Array }> = {}): Vcpus => ({
  kind: 'given',
  count: 4,
  bsp: BSP,
  ap: AP,
  ...changes,
});
const withVcpus = (vcpus: Partial<Vcpus>): Vcpus => ({ ...VCPUS, ...vcpus }) as Vcpus;
const VARS = new Uint8Array(0x2_0000).fill(0xff);
const CODE = sampleOvmf({ sizeBytes: 0x1e_0000 });
const COMBINED = concatBytes(VARS, CODE);

interface Case {
  readonly name: string;
  readonly measurement?: string | Uint8Array;
  readonly truth?: Truth;
  readonly given?: Partial<ExplainInputs>;
  readonly dimension: string;
  readonly words: string | RegExp;
}

const B64 = toBase64(measured());
const SINGLES: Case[] = [
  {
    name: 'the launch digest in the place of the measurement, with the nonce',
    measurement: concatBytes(digestOf({}), MNONCE),
    dimension: 'measurement-kind',
    words: 'what was given as the measurement is the launch digest itself',
  },
  {
    name: 'hex for base64',
    measurement: toHex(measured()),
    dimension: 'measurement-encoding',
    words: /is read as hex$/,
  },
  { name: 'hex with 0x', measurement: `0x${toHex(measured())}`, dimension: 'measurement-encoding', words: /as hex$/ },
  {
    name: 'a line break at the end',
    measurement: `${B64}\n`,
    dimension: 'measurement-encoding',
    words: /as text with white space in it$/,
  },
  {
    name: 'the URL-safe alphabet',
    // A measurement that has characters of either alphabet in it.
    measurement: Array.from({ length: 64 }, (_, buildId) => toBase64(measured({ context: { buildId } })))
      .find((text) => /[+/]/.test(text))
      ?.replaceAll('+', '-')
      .replaceAll('/', '_') as string,
    given: {
      context: {
        ...CONTEXT,
        buildId: Array.from({ length: 64 }, (_, buildId) => buildId).find((buildId) =>
          /[+/]/.test(toBase64(measured({ context: { buildId } }))),
        ) as number,
      },
    },
    dimension: 'measurement-encoding',
    words: /URL-safe base64$/,
  },
  {
    name: 'base64 encoded twice',
    measurement: toBase64(Buffer.from(B64)),
    dimension: 'measurement-encoding',
    words: /encoded twice$/,
  },
  {
    name: 'a trailing byte',
    measurement: toBase64(concatBytes(measured(), Uint8Array.of(0))),
    dimension: 'measurement-encoding',
    words: /measurement with 1 surplus byte behind it$/,
  },
  {
    name: 'nonce before measurement',
    measurement: concatBytes(MNONCE, measured().slice(0, 32)),
    dimension: 'measurement-encoding',
    words: /nonce before measurement$/,
  },
  {
    name: 'the measurement without its nonce, which was given beside it',
    measurement: measured().slice(0, 32),
    given: { mnonce: MNONCE },
    dimension: 'measurement-encoding',
    words: /measurement without its nonce$/,
  },
  {
    name: 'the text of the measurement as bytes',
    measurement: Buffer.from(B64),
    dimension: 'measurement-encoding',
    words: /text instead of its bytes$/,
  },
  { name: 'TIK and TEK swapped', truth: { key: TEK }, dimension: 'tik', words: 'TIK and TEK are swapped' },
  {
    name: 'the policy in big-endian byte order',
    truth: { context: { policy: 0x0500_0000 } },
    dimension: 'policy',
    words: 'the policy 0x00000005 was taken in big-endian byte order',
  },
  {
    name: 'a flag of a known policy and more',
    truth: { context: { policy: 0x33 } },
    dimension: 'policy',
    words: 'the policy is 0x0033 NODBG NOKS DOMAIN SEV, not 0x0005 NODBG ES',
  },
  {
    name: 'an API floor in the policy',
    truth: { context: { policy: 0x1_0005 } },
    dimension: 'policy',
    words: 'the policy is 0x00010005 NODBG ES API>=1.0, not 0x0005 NODBG ES: bit 16 differs',
  },
  ...[
    [0, 'NODBG', '0x0004 ES'],
    [1, 'NOKS', '0x0007 NODBG NOKS ES'],
    [2, 'ES', '0x0001 NODBG'],
    [3, 'NOSEND', '0x000d NODBG ES NOSEND'],
    [4, 'DOMAIN', '0x0015 NODBG ES DOMAIN'],
    [5, 'SEV', '0x0025 NODBG ES SEV'],
  ].map(
    ([bit, name, policy]): Case => ({
      name: `policy flag ${name}`,
      truth: { context: { policy: 0x5 ^ (1 << Number(bit)) } },
      dimension: 'policy',
      words: `the policy is ${policy}, not 0x0005 NODBG ES: bit ${bit} (${name}) differs`,
    }),
  ),
  ...KNOWN_SEV_FIRMWARE.filter(({ buildId, apiMinor }) => buildId !== 21 || apiMinor !== 55).map(
    ({ apiMajor, apiMinor, buildId, product }): Case => ({
      name: `SEV firmware ${apiMajor}.${apiMinor} build ${buildId}`,
      truth: { context: { apiMajor, apiMinor, buildId } },
      dimension: 'sev-firmware',
      words: new RegExp(
        `^the SEV firmware is ${apiMajor}\\.${apiMinor} build ${buildId} \\(${product};.*\\), not 1\\.55 build 21$`,
      ),
    }),
  ),
  {
    name: 'API major and minor swapped',
    truth: { context: { apiMajor: 55, apiMinor: 1 } },
    dimension: 'sev-firmware',
    words: 'the SEV firmware is 55.1 build 21 (major and minor were swapped), not 1.55 build 21',
  },
  {
    name: 'a build that nobody has seen',
    truth: { context: { buildId: 200 } },
    dimension: 'sev-firmware',
    words: 'the SEV firmware is 1.55 build 200, not 1.55 build 21',
  },
  {
    name: 'an API version that nobody has seen',
    truth: { context: { apiMinor: 77 } },
    dimension: 'sev-firmware',
    words: 'the SEV firmware is 1.77 build 21, not 1.55 build 21',
  },
  {
    name: 'kernel hashes off',
    truth: { kernel: undefined },
    dimension: 'kernel-hashes',
    words: 'the guest was started without kernel-hashes',
  },
  {
    name: 'kernel hashes without padding',
    truth: { kernelBytes: encodeKernelHashes(computeKernelHashes(KERNEL)).slice(0, 168) },
    dimension: 'kernel-hashes',
    words: /without its 8 bytes of padding$/,
  },
  {
    name: 'no initrd',
    truth: { kernel: { kernel: KERNEL.kernel, cmdline: KERNEL.cmdline ?? '' } },
    dimension: 'initrd',
    words: 'the guest was started without an initrd',
  },
  {
    name: 'no NUL',
    truth: { cmdlineBytes: `${KERNEL.cmdline}` },
    dimension: 'cmdline',
    words: /without its terminating NUL$/,
  },
  {
    name: 'a newline',
    truth: { cmdlineBytes: `${KERNEL.cmdline}\n\0` },
    dimension: 'cmdline',
    words: /ends with a newline$/,
  },
  {
    name: 'a newline for the NUL',
    truth: { cmdlineBytes: `${KERNEL.cmdline}\n` },
    dimension: 'cmdline',
    words: /newline in the place of its NUL$/,
  },
  { name: 'two NULs', truth: { cmdlineBytes: `${KERNEL.cmdline}\0\0` }, dimension: 'cmdline', words: /with two NULs$/ },
  {
    name: 'a space',
    truth: { cmdlineBytes: `${KERNEL.cmdline} \0` },
    dimension: 'cmdline',
    words: /ends with a space$/,
  },
  {
    name: 'an empty command line',
    truth: { cmdlineBytes: '\0' },
    dimension: 'cmdline',
    words: 'the command line is empty',
  },
  {
    name: 'white space that was given and not used',
    given: { guest: { ...GUEST, kernel: { ...KERNEL, cmdline: `${KERNEL.cmdline}\n` } } },
    dimension: 'cmdline',
    words: 'the command line has no white space at its ends',
  },
  {
    name: 'quotes that were given and not used',
    given: { guest: { ...GUEST, kernel: { ...KERNEL, cmdline: `"${KERNEL.cmdline}"` } } },
    dimension: 'cmdline',
    words: 'the command line has no quotes around it',
  },
  ...[1, 2, 3, 5, 64, 255, 256].map(
    (count): Case => ({
      name: `${count} vCPUs`,
      truth: { vcpus: withVcpus({ count }) },
      dimension: 'vcpu-count',
      words: `the guest has ${count} vCPU${count === 1 ? '' : 's'}, not 4`,
    }),
  ),
  ...KNOWN_CPUS.filter(({ signature }) => signature !== 0x00a0_0f11).map(
    ({ signature, names }): Case => ({
      name: `CPU ${names.join(', ')}`,
      truth: { vcpus: withVcpus({ cpuSignature: signature }) },
      dimension: 'cpu-signature',
      words: new RegExp(
        `^the CPU signature is 0x00${signature.toString(16)} \\(.*: ${names.join(', ')}\\), not 0x00a00f11`,
      ),
    }),
  ),
  {
    name: 'INIT2 pages',
    truth: { vcpus: withVcpus({ form: 'init2' }) },
    dimension: 'vmsa-form',
    words: /INIT2 .* form$/,
  },
  {
    name: 'legacy pages',
    given: { guest: { ...GUEST, vcpus: withVcpus({ form: 'init2' }) } },
    dimension: 'vmsa-form',
    words: /legacy .* form$/,
  },
  {
    name: 'debug-swap on',
    truth: { vcpus: withVcpus({ sevFeatures: 0x20 }) },
    dimension: 'sev-features',
    words: 'SEV_FEATURES is 0x20 (debug-swap), not 0x0',
  },
  {
    name: 'debug-swap off',
    given: { guest: { ...GUEST, vcpus: withVcpus({ sevFeatures: 0x20 }) } },
    dimension: 'sev-features',
    words: 'SEV_FEATURES is 0x0, not 0x20',
  },
  { name: 'BSP and AP swapped', truth: { pages: [AP, BSP, BSP, BSP] }, dimension: 'vcpu-order', words: /are swapped$/ },
  {
    name: 'BSP and AP pages given in the wrong order',
    given: { guest: { ...GUEST, vcpus: givenPages({ bsp: AP, ap: BSP }) } },
    dimension: 'vcpu-order',
    words: /are swapped$/,
  },
  {
    name: 'the BSP page for all',
    truth: { pages: [BSP, BSP, BSP, BSP] },
    dimension: 'vcpu-order',
    words: /for each vCPU$/,
  },
  {
    name: 'an AP page of another guest firmware',
    given: { guest: { ...GUEST, vcpus: givenPages({ ap: patchVmsa(AP, { resetEip: 0x0080_c000 }) }) } },
    dimension: 'vcpu-reset',
    words: /where this guest firmware says/,
  },
  {
    name: 'given pages of another CPU',
    truth: { vcpus: withVcpus({ cpuSignature: 0x0083_0f10 }) },
    given: { guest: { ...GUEST, vcpus: givenPages() } },
    dimension: 'cpu-signature',
    words: /^the CPU signature is 0x00830f10 \(23\/49\/0: EPYC-Rome, Rome B0\), not 0x00a00f11/,
  },
  {
    name: 'no VMSA measured',
    truth: { vcpus: undefined },
    dimension: 'sev-es',
    words: 'no VMSA page was measured',
  },
  {
    name: 'a plain SEV guest under a SEV policy',
    truth: { vcpus: undefined, context: { policy: 0x1 } },
    dimension: 'sev-es',
    words: 'the guest is a SEV guest: policy without the ES bit, and no VMSA page measured',
  },
  {
    name: 'a SEV-ES guest described as a SEV guest',
    given: { guest: { guestFirmware: FIRMWARE, kernel: KERNEL } },
    dimension: 'sev-es',
    words: /^the guest is a SEV-ES guest with 4 vCPUs, CPU signature 0x00a00f11 \(.*\) and VMSA pages in the legacy/,
  },
  {
    name: 'a SEV-ES guest described as a SEV guest, policy and all',
    given: { guest: { guestFirmware: FIRMWARE, kernel: KERNEL }, context: { ...CONTEXT, policy: 0x1 } },
    dimension: 'sev-es',
    words: /^the guest is a SEV-ES guest, with the ES bit in its policy, with 4 vCPUs/,
  },
  {
    name: 'another image that the caller has',
    truth: { firmware: sampleOvmf({ fill: 1 }) },
    given: { guest: { ...GUEST, alternates: [{ name: 'last month', bytes: sampleOvmf({ fill: 1 }) }] } },
    dimension: 'guest-firmware',
    words: 'the guest firmware is last month (4096 bytes), not the given image (4096 bytes)',
  },
  {
    name: 'another image with another reset vector',
    truth: { firmware: sampleOvmf({ resetEip: 0x0080_d000 }) },
    given: { guest: { ...GUEST, alternates: [{ name: 'B', bytes: sampleOvmf({ resetEip: 0x0080_d000 }) }] } },
    dimension: 'guest-firmware',
    words: /^the guest firmware is B /,
  },
  {
    name: 'code only, where the combined image was given',
    truth: { firmware: CODE },
    given: { guest: { ...GUEST, guestFirmware: COMBINED } },
    dimension: 'guest-firmware',
    words: /^the guest firmware is the code part of the given image, without its variable store \(1966080 bytes\)/,
  },
  {
    name: 'the combined image, where code was given',
    truth: { firmware: COMBINED },
    given: { guest: { ...GUEST, guestFirmware: CODE, alternates: [{ name: 'OVMF_VARS.fd', bytes: VARS }] } },
    dimension: 'guest-firmware',
    words: /^the guest firmware is OVMF_VARS.fd followed by the given image \(2097152 bytes\)/,
  },
];

describe('single changes', () => {
  test.each(SINGLES)('names $name', async ({ measurement, truth, given, dimension, words }) => {
    const explanation = await explain(measurement ?? toBase64(measured(truth)), given);
    expect(explanation.outcome).toBe('explained');
    expect(dimensions(explanation)).toEqual([dimension]);
    const found = explanation.outcome === 'explained' ? explanation.changes[0] : undefined;
    expect(found?.words).toMatch(
      typeof words === 'string' ? new RegExp(`^${words.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}$`) : words,
    );
    expect(found?.advice.length).toBeGreaterThan(20);
  });

  test('the table has a case for every dimension', () => {
    expect(new Set(SINGLES.map(({ dimension }) => dimension)).size).toBe(16);
  });
});

describe('pairs of changes', () => {
  test.each<{ name: string; measurement?: string; truth: Truth; given?: Partial<ExplainInputs>; pair: string[] }>([
    {
      name: 'hex of the launch digest, as calculators print it',
      measurement: toHex(digestOf({})),
      truth: {},
      pair: ['measurement-kind', 'measurement-encoding'],
    },
    {
      name: 'updated SEV firmware and other policy',
      truth: { context: { buildId: 29, policy: 0x7 } },
      pair: ['sev-firmware', 'policy'],
    },
    {
      name: 'more vCPUs and an unknown build',
      truth: { vcpus: withVcpus({ count: 9 }), context: { buildId: 123 } },
      pair: ['vcpu-count', 'sev-firmware'],
    },
    {
      name: 'other CPU and INIT2 pages',
      truth: { vcpus: withVcpus({ cpuSignature: 0x00a1_0f10, form: 'init2' }) },
      pair: ['cpu-signature', 'vmsa-form'],
    },
    {
      name: 'no initrd and an empty command line',
      truth: { kernel: { kernel: KERNEL.kernel } },
      pair: ['initrd', 'cmdline'],
    },
    {
      name: 'no kernel hashes and more vCPUs',
      truth: { kernel: undefined, vcpus: withVcpus({ count: 200 }) },
      pair: ['kernel-hashes', 'vcpu-count'],
    },
    {
      name: 'swapped keys and a missing NUL',
      truth: { key: TEK, cmdlineBytes: `${KERNEL.cmdline}` },
      pair: ['cmdline', 'tik'],
    },
  ])('names $name', async ({ measurement, truth, given, pair }) => {
    expect(dimensions(await explain(measurement ?? toBase64(measured(truth)), given))).toEqual(pair);
  });
});

describe('what cannot be explained', () => {
  test('an unrelated measurement: every candidate is tried and none is named', async () => {
    const announced: ExplainProgress[] = [];
    const explanation = await explainLaunch(
      { measurement: toBase64(new Uint8Array(48).fill(7)), context: CONTEXT, tik: new Secret(TIK), guest: GUEST },
      { onProgress: (progress) => announced.push(progress) },
    );
    expect(explanation).toMatchObject({ outcome: 'unexplained', complete: true });
    expect(explanation.tried).toBeGreaterThan(100_000);
    expect(explanation.summary).toMatch(/^tried \d+ candidates: no single change and no pair of changes fits/);
    expect(explanation.summary).toMatch(/vcpu-count 255/);
    // A few pairs contradict themselves, such as an empty initrd of no kernel hashes.
    expect(announced.at(-1)).toMatchObject({ tried: explanation.tried });
    expect(announced.every(({ total }) => total >= explanation.tried && total < explanation.tried * 1.1)).toBe(true);
  });

  test('three changes at once are not found', async () => {
    const truth = { key: TEK, context: { buildId: 29 }, vcpus: withVcpus({ count: 5 }) };
    expect(await explain(toBase64(measured(truth)))).toMatchObject({ outcome: 'unexplained' });
  });

  test.each(['', 'not a measurement', toBase64(new Uint8Array(20)), 'A'.repeat(100_000)])(
    'something that is no measurement at all: %.20s',
    async (measurement) => {
      expect(await explain(measurement)).toMatchObject({ outcome: 'unexplained', complete: false, tried: 0 });
    },
  );

  test('a measurement that matches needs no explanation', async () => {
    expect(await explain(B64)).toEqual({ outcome: 'matches', tried: 1, summary: 'the measurement matches as given' });
  });
});

describe('with a launch digest only', () => {
  const guest = { digest: computeLaunchDigest({ guestFirmware: FIRMWARE } satisfies LaunchInputs) };
  const blob = (context: LaunchContext) =>
    concatBytes(computeLaunchMeasurement(new Secret(TIK), context, guest.digest, MNONCE), MNONCE);

  test('finds what differs outside the digest', async () => {
    const context = { ...CONTEXT, buildId: 29, policy: 1 };
    expect(dimensions(await explain(blob(context), { guest }))).toEqual(['sev-firmware', 'policy']);
  });

  test('considers nothing inside the digest', async () => {
    const explanation = await explain(new Uint8Array(48), { guest });
    expect(explanation.outcome === 'unexplained' && Object.keys(explanation.considered)).toEqual([
      'measurement-kind',
      'measurement-encoding',
      'tik',
      'sev-firmware',
      'policy',
    ]);
  });
});

describe('bounds', () => {
  const unrelated = toBase64(new Uint8Array(48).fill(7));

  test('stops at the limit of candidates and says so', async () => {
    const explanation = await explainLaunch(
      { measurement: unrelated, context: CONTEXT, tik: new Secret(TIK), guest: GUEST },
      { maxCandidates: 1000 },
    );
    expect(explanation).toMatchObject({ outcome: 'unexplained', complete: false, tried: 1000 });
    expect(explanation.summary).toMatch(/^tried 1000 candidates of at most \d{6} and stopped at the limit/);
  });

  test('stops among the single changes already, if the limit is there', async () => {
    const explanation = await explainLaunch(
      { measurement: unrelated, context: CONTEXT, tik: new Secret(TIK), guest: GUEST },
      { maxCandidates: 10 },
    );
    expect(explanation).toMatchObject({ outcome: 'unexplained', complete: false, tried: 10 });
  });

  test('rejects with the reason of the signal, and tries nothing more', async () => {
    const controller = new AbortController();
    let last = 0;
    const search = explainLaunch(
      { measurement: unrelated, context: CONTEXT, tik: new Secret(TIK), guest: GUEST },
      {
        signal: controller.signal,
        onProgress: ({ tried }) => {
          last = tried;
          controller.abort(new Error('enough'));
        },
      },
    );
    await expect(search).rejects.toThrow('enough');
    expect(last).toBeLessThan(1000);
  });

  test('reports progress that grows and never passes the total', async () => {
    const seen: { tried: number; total: number; phase: string }[] = [];
    await explainLaunch(
      {
        measurement: unrelated,
        context: CONTEXT,
        tik: new Secret(TIK),
        guest: { ...GUEST, vcpus: withVcpus({ count: 1 }) },
      },
      { maxCandidates: 5000, onProgress: (progress) => seen.push(progress) },
    );
    expect(seen.length).toBeGreaterThan(10);
    expect(seen.map(({ tried }) => tried)).toEqual(seen.map(({ tried }) => tried).sort((a, b) => a - b));
    expect(seen.every(({ tried, total }) => tried <= total)).toBe(true);
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(['single changes', 'pairs of changes']));
  });

  test('lets other work run between turns', async () => {
    let turns = 0;
    let searching = true;
    const other = (async () => {
      while (searching) {
        turns += 1;
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await explainLaunch(
      { measurement: unrelated, context: CONTEXT, tik: new Secret(TIK), guest: GUEST },
      { maxCandidates: 5000 },
    );
    searching = false;
    await other;
    expect(turns).toBeGreaterThan(10);
  });

  test.each([0, -1, 1.5, Number.NaN])('refuses a limit of %s candidates', async (maxCandidates) => {
    await expect(
      explainLaunch(
        { measurement: unrelated, context: CONTEXT, tik: new Secret(TIK), guest: GUEST },
        { maxCandidates },
      ),
    ).rejects.toMatchObject({ code: 'LAUNCH_INPUT_INVALID' });
  });

  test('refuses an all-zero TIK, with which every host could be explained', async () => {
    const tik = new Secret(new Uint8Array(16) as Tik);
    await expect(explain(B64, { tik })).rejects.toMatchObject({ code: 'TIK_INVALID' });
  });
});
