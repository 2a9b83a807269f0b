import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { concatBytes, fromBase64, fromHex, toHex } from '../../core/bytes.ts';
import { isSevHarnessError } from '../../core/errors.ts';
import { Secret } from '../../core/secret.ts';
import type { LaunchDigest } from '../brands.ts';
import { mutants, type Roles } from '../testing/mutation-ops.ts';
import { openVectorSet, type Vector } from '../testing/vector-files.ts';
import { VECTOR_KINDS } from '../testing/vector-kinds.ts';
import { verifyLaunch } from '../verify/launch.ts';
import { encodeCpuSignature } from './cpu-signature.ts';
import { type BuiltVcpus, computeLaunchDigest } from './digest.ts';
import { computeKernelHashes } from './kernel-hashes.ts';
import { computeSnpFirmwareDigest, computeSnpLaunchDigest } from './snp-digest.ts';
import { computeSvsmLaunchDigest } from './svsm-digest.ts';
import { decodeVmsa, type Vmm } from './vmsa.ts';

/** Every vector and mutant of the kinds that this folder computes; their verdicts were given by others. */
const SHARED = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../shared');
const VECTORS = path.join(SHARED, 'vectors');

type Json = Record<string, unknown>;

/** What the Python check that came with the vectors made of each recipe. */
interface Result {
  readonly id: string;
  readonly mutants: number;
  readonly reasons: Readonly<Record<string, number>>;
}

const readShared = (name: string) => new Uint8Array(readFileSync(path.join(VECTORS, name)));
const { vectors, recipes, rolesOf, fileOf } = openVectorSet(
  (name) => (name.endsWith('.gz') ? new Uint8Array(gunzipSync(readShared(name))) : readShared(name)),
  VECTOR_KINDS.measurement,
);

/** The verdict of the library, as the manifest words it, and what gave it. */
function judge(kind: string, files: Roles): { verdict: string; reason: string } {
  try {
    if (kind === 'launch-measure') return judgeMeasure(files, params(files));
    if (kind === 'launch-digest') return judgeDigest(files, params(files));
    return judgeVmsa(files);
  } catch (error) {
    if (isSevHarnessError(error)) return { verdict: 'invalid', reason: error.code };
    throw error;
  }
}

function judgeMeasure(files: Roles, given: Json): { verdict: string; reason: string } {
  const captured = given.query_sev_launch_measure as { data: string } | undefined;
  const sev = given.query_sev as Record<string, number> | undefined;
  const tik = files.get('tik') ?? (given.tik_hex ? hex(given.tik_hex) : undefined);
  const nonce = given.nonce_b64 ? base64(given.nonce_b64) : given.nonce_hex ? hex(given.nonce_hex) : undefined;
  const measurement =
    (given.expected_blob_b64 as string | undefined) ??
    captured?.data ??
    concatBytes(hex(given.expected_measure_hex), nonce ?? new Uint8Array());
  const result = verifyLaunch({
    measurement,
    context: {
      apiMajor: (sev?.['api-major'] ?? given.api_major) as number,
      apiMinor: (sev?.['api-minor'] ?? given.api_minor) as number,
      buildId: (sev?.['build-id'] ?? given.build_id) as number,
      policy: (sev?.policy ?? given.policy) as number,
    },
    digest: measuredDigest(files, given),
    tik: tik && new Secret(tik),
    ...(nonce && { mnonce: nonce }),
  });
  if (result.ok) return { verdict: 'valid', reason: '' };
  const row = result.checks.find(({ outcome }) => outcome === 'failed' || outcome === 'incomplete');
  const verdict = row?.outcome === 'failed' ? 'invalid' : 'unverifiable';
  return { verdict, reason: row?.id ?? '' };
}

function measuredDigest(files: Roles, given: Json): LaunchDigest {
  if (given.launch_digest_b64 !== undefined) return base64(given.launch_digest_b64) as LaunchDigest;
  if (given.launch_digest_hex !== undefined) return hex(given.launch_digest_hex) as LaunchDigest;
  const guestFirmware = files.get('firmware');
  // The capture of a real launch came without its firmware; any digest will do, for there is no key either.
  if (guestFirmware === undefined) return new Uint8Array(32) as LaunchDigest;
  const [bsp, ap] = [files.get('vmsa0'), files.get('vmsa1')];
  if (bsp === undefined) return computeLaunchDigest({ guestFirmware });
  return computeLaunchDigest({
    guestFirmware,
    vcpus: { kind: 'given', count: given.num_cpus as number, bsp, ...(ap && { ap }) },
  });
}

function judgeDigest(files: Roles, given: Json): { verdict: string; reason: string } {
  const guestFirmware = files.get('firmware') ?? new Uint8Array();
  const [family, model, stepping] = given.cpu as [number, number, number];
  const kernelHashes = given.kernel
    ? computeKernelHashes({ kernel: new Uint8Array(), cmdline: (given.append as string | null) ?? '' })
    : undefined;
  const built: BuiltVcpus = {
    kind: 'built',
    count: given.vcpus as number,
    cpuSignature: encodeCpuSignature({ family, model, stepping }),
    form: String(given.vmsa_style ?? 'linux>=6.10').startsWith('linux>=6.10') ? 'init2' : 'legacy',
    sevFeatures: given.guest_features as number,
    vmm: given.vmm === 'ec2-old' ? 'ec2-2023' : (given.vmm as Vmm),
  };
  const hashes = kernelHashes && { kernelHashes };
  const digest = {
    sev: () => computeLaunchDigest({ guestFirmware, ...hashes }),
    seves: () => computeLaunchDigest({ guestFirmware, ...hashes, vcpus: built }),
    snp: () => computeSnpLaunchDigest({ guestFirmware, ...hashes, vcpus: built }),
    'snp-ovmf-hash': () => computeSnpFirmwareDigest(guestFirmware),
    'snp:svsm': () =>
      computeSvsmLaunchDigest({
        guestFirmware,
        svsm: files.get('svsm') ?? new Uint8Array(),
        varsSizeBytes: given.ovmf_vars_size as number,
        vcpuCount: built.count,
        cpuSignature: built.cpuSignature,
        form: built.form,
      }),
  }[given.mode as 'sev' | 'seves' | 'snp' | 'snp-ovmf-hash' | 'snp:svsm']();
  const matches = toHex(digest) === given.expected_hex;
  return { verdict: matches ? 'valid' : 'invalid', reason: matches ? '' : 'digest' };
}

function judgeVmsa(files: Roles): { verdict: string; reason: string } {
  const decoded = decodeVmsa(files.get('vmsa') ?? new Uint8Array());
  const dump = JSON.parse(Buffer.from(files.get('dump') ?? []).toString('utf8'), undefined) as Json;
  const text = Buffer.from(files.get('dump') ?? []).toString('utf8');
  let compared = 0;
  for (const [name, value] of Object.entries(dump)) {
    if (name.startsWith('reserved') || name === 'valid_bitmap' || name === 'x87_state_gpa') continue;
    compared += 1;
    const segment = decoded.segments[name as keyof typeof decoded.segments];
    if (segment !== undefined) {
      expect(segment, name).toEqual({ ...(value as object), base: BigInt((value as { base: number }).base) });
    } else {
      // Not through a JavaScript number, which would round 64-bit registers.
      const exact = new RegExp(`"${name}": (\\d+)`).exec(text)?.[1] ?? '';
      expect(decoded.registers[name as keyof typeof decoded.registers], name).toBe(BigInt(exact));
    }
  }
  expect(compared).toBeGreaterThan(50);
  expect(decoded.unknownNonZeroOffsets).toEqual([]);
  return { verdict: 'valid', reason: '' };
}

function params(files: Roles): Json {
  return JSON.parse(Buffer.from(files.get('params') ?? []).toString('utf8')) as Json;
}

function hex(value: unknown): Uint8Array {
  return fromHex(String(value)) ?? new Uint8Array();
}

function base64(value: unknown): Uint8Array {
  return fromBase64(String(value)) ?? new Uint8Array();
}

/** Why each negative vector, and each mutant that never gets as far as a comparison, must be refused. */
const REASONS: Readonly<Record<string, string>> = {
  'ld-neg-seves-ovmfx64-kernel': 'OVMF_NO_HASHES_TABLE',
  'ld-neg-snp-ovmfx64-kernel': 'OVMF_NO_HASHES_TABLE',
  'launchmac-capture-rome-0.24': 'launch.tik-present',
};

describe('vectors made by others', () => {
  test.each(vectors)('$id gets the verdict of its manifest', (vector) => {
    const { verdict, reason } = judge(vector.kind, rolesOf(vector));
    expect({ verdict, reason }).toEqual({ verdict: vector.expect.verdict, reason: REASONS[vector.id] ?? '' });
  });
});

/** What the Python check that came with the vectors says, in our words. */
function reasonsOf(theirs: string): string[] {
  if (theirs === 'hmac') return ['launch.measurement-matches', 'VMSA_MALFORMED', 'LAUNCH_INPUT_INVALID'];
  if (theirs === 'TIK length') return ['launch.tik-present'];
  if (theirs === 'blob length') return ['launch.measurement-length'];
  if (theirs === 'nonce') return ['launch.nonce-matches'];
  if (/base64|padding/i.test(theirs)) return ['launch.measurement-encoding'];
  // The digest differs, or the firmware can no longer be parsed.
  return ['digest', 'OVMF_MALFORMED', 'OVMF_NO_TABLE', 'OVMF_NO_HASHES_TABLE', 'LAUNCH_INPUT_INVALID'];
}

describe('mutants of those vectors', () => {
  const { results } = JSON.parse(readFileSync(path.join(VECTORS, 'mutations_results.json'), 'utf8')) as {
    results: Result[];
  };
  const resultOf = new Map(results.map((result) => [result.id, result]));

  test.each(recipes)('$id is $expect.verdict ($class)', (recipe) => {
    const vector = vectors.find(({ id }) => id === recipe.base) as Vector;
    const known = resultOf.get(recipe.id);
    const reasons = Object.keys(known?.reasons ?? {}).flatMap(reasonsOf);
    let count = 0;
    for (const files of mutants(rolesOf(vector), recipe.ops, fileOf)) {
      count += 1;
      const { verdict, reason } = judge(vector.kind, files);
      expect(verdict, `mutant ${count}`).toBe(recipe.expect.verdict);
      expect(reasons, `mutant ${count}`).toContain(reason);
    }
    expect(count).toBe(known?.mutants);
  });

  test('no kind lost its recipes', () => {
    expect(recipes.length).toBeGreaterThanOrEqual(62);
  });
});
