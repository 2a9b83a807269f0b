import { describe, expect, test } from 'vitest';
import { concatBytes, toBase64, toHex } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import type { Tik } from '../brands.ts';
import { computeLaunchDigest, type LaunchInputs } from '../measurement/digest.ts';
import { computeLaunchMeasurement, type LaunchContext } from '../measurement/measurement.ts';
import { type ExplainInputs, type ExplainProgress, explainLaunch } from './launch.ts';
import {
  CONTEXT,
  digestOf,
  dimensions,
  explain,
  FIRMWARE,
  GUEST,
  KERNEL,
  MNONCE,
  measured,
  TEK,
  TIK,
  type Truth,
  withVcpus,
} from './sample-launch.ts';

const B64 = toBase64(measured());

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
  }, 30_000);

  test('three changes at once are not found', async () => {
    const truth = { key: TEK, context: { buildId: 29 }, vcpus: withVcpus({ count: 5 }) };
    expect(await explain(toBase64(measured(truth)))).toMatchObject({ outcome: 'unexplained' });
  }, 30_000);

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
