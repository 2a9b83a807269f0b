import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { concatBytes, toBase64 } from '../../core/bytes.ts';
import type { Mnonce } from '../brands.ts';
import { verifyLaunch } from '../verify/launch.ts';
import { computeLaunchDigest, type LaunchInputs } from './digest.ts';
import { computeKernelHashes } from './kernel-hashes.ts';
import { computeLaunchMeasurement, type LaunchContext, parseTik } from './measurement.ts';
import { sampleOvmf } from './sample-ovmf.ts';
import { BSP_RESET_EIP, buildVmsa } from './vmsa.ts';

/** Held against libvirt's own tool, which shares no code with this library. */
const TOOL = '/usr/bin/virt-qemu-sev-validate';
// Debian's python3, which has the modules that the tool needs; the first one on the PATH may be another.
const PYTHON = '/usr/bin/python3';
const OVMF = '/usr/share/ovmf/OVMF.fd';

const run = promisify(execFile);
const CONTEXT: LaunchContext = { apiMajor: 1, apiMinor: 55, buildId: 21, policy: 0x1 };
const TIK = new Uint8Array(16).map((_, index) => 0x21 + index);
const TEK = new Uint8Array(16).map((_, index) => 0x61 + index);
const MNONCE = new Uint8Array(16).fill(0x5c) as Mnonce;
const KERNEL = { kernel: Buffer.from('a kernel'), initrd: Buffer.from('an initrd'), cmdline: 'console=ttyS0 quiet' };
const MILAN = ['--cpu-family', '25', '--cpu-model', '1', '--cpu-stepping', '1'];

let folder: string;

beforeAll(() => {
  for (const [file, from] of [
    [TOOL, 'libvirt-clients-qemu'],
    [PYTHON, 'python3'],
    [OVMF, 'ovmf'],
  ] as const) {
    if (!existsSync(file))
      throw new Error(`${file} is missing, and this test compares with it: apt-get install ${from}`);
  }
  folder = mkdtempSync(path.join(tmpdir(), 'sev-harness-stock-'));
  write('tik.bin', TIK);
  write('tek.bin', TEK);
});

afterAll(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

function write(name: string, bytes: Uint8Array): string {
  const file = path.join(folder, name);
  writeFileSync(file, bytes);
  return file;
}

function measure(inputs: LaunchInputs, context = CONTEXT): Uint8Array {
  return concatBytes(computeLaunchMeasurement(parseTik(TIK), context, computeLaunchDigest(inputs), MNONCE), MNONCE);
}

/** Exit code of the tool: 0 is "Looks good to me", 1 is "Measurement does not match". */
async function stock(
  measurement: string,
  inputs: LaunchInputs,
  args: readonly string[],
  context = CONTEXT,
): Promise<number> {
  const firmware = write('firmware.fd', inputs.guestFirmware);
  const { apiMajor, apiMinor, buildId, policy } = context;
  const all = [
    ...[TOOL, '--measurement', measurement, '--api-major', apiMajor, '--api-minor', apiMinor, '--build-id', buildId],
    ...['--policy', policy, '--tik', path.join(folder, 'tik.bin'), '--tek', path.join(folder, 'tek.bin')],
    ...['--firmware', firmware, ...args],
  ].map(String);
  try {
    await run(PYTHON, all);
    return 0;
  } catch (error) {
    const { code, stderr, stdout } = error as { code: unknown; stderr: string; stdout: string };
    if (typeof code === 'number' && (code === 1 || code === 2)) return code;
    throw new Error(`${TOOL} ended with ${String(code)}: ${stdout}${stderr}`, { cause: error });
  }
}

function ours(measurement: string, inputs: LaunchInputs, context = CONTEXT): boolean {
  return verifyLaunch({ measurement, context, digest: computeLaunchDigest(inputs), tik: parseTik(TIK) }).ok;
}

const es = (count: number, form: 'legacy' | 'init2' = 'legacy') =>
  ({ kind: 'built', count, cpuSignature: 0x00a0_0f11, form }) as const;
const kernelHashes = computeKernelHashes(KERNEL);
const kernelArgs = () => [
  ...['--kernel', write('kernel', KERNEL.kernel), '--initrd', write('initrd', KERNEL.initrd)],
  ...['--cmdline', KERNEL.cmdline],
];
const pageArgs = (form: 'legacy' | 'init2') => {
  const page = (resetEip: number) => buildVmsa({ resetEip, cpuSignature: 0x00a0_0f11, form });
  return [
    ...['--vmsa-cpu0', write('vmsa0.bin', page(BSP_RESET_EIP))],
    ...['--vmsa-cpu1', write('vmsa1.bin', page(0x0080_b004))],
  ];
};

interface Case {
  readonly name: string;
  readonly inputs: () => LaunchInputs;
  readonly args: () => string[];
  readonly policy?: number;
}

const CASES: Case[] = [
  { name: 'SEV', inputs: () => ({ guestFirmware: sampleOvmf() }), args: () => [] },
  {
    name: 'SEV with kernel, initrd and command line',
    inputs: () => ({ guestFirmware: sampleOvmf(), kernelHashes }),
    args: kernelArgs,
  },
  {
    name: 'SEV with a kernel only',
    inputs: () => ({ guestFirmware: sampleOvmf(), kernelHashes: computeKernelHashes({ kernel: KERNEL.kernel }) }),
    args: () => kernelArgs().slice(0, 2),
  },
  {
    name: 'SEV-ES with one vCPU whose page the tool builds',
    inputs: () => ({ guestFirmware: sampleOvmf(), vcpus: es(1) }),
    args: () => ['--num-cpus', '1', ...MILAN],
    policy: 0x5,
  },
  {
    name: 'SEV-ES with 16 vCPUs whose pages the tool builds, and kernel hashes',
    inputs: () => ({ guestFirmware: sampleOvmf(), kernelHashes, vcpus: es(16) }),
    args: () => ['--num-cpus', '16', ...MILAN, ...kernelArgs()],
    policy: 0x5,
  },
  {
    name: "SEV-ES with Debian's OVMF and its reset vector",
    inputs: () => ({ guestFirmware: readFileSync(OVMF), vcpus: es(4) }),
    args: () => ['--num-cpus', '4', ...MILAN],
    policy: 0x5,
  },
  {
    name: 'SEV-ES with our pages in the legacy form',
    inputs: () => ({ guestFirmware: sampleOvmf(), vcpus: es(4) }),
    args: () => ['--num-cpus', '4', ...pageArgs('legacy')],
    policy: 0x5,
  },
  {
    name: 'SEV-ES with our pages in the INIT2 form',
    inputs: () => ({ guestFirmware: sampleOvmf(), vcpus: es(4, 'init2') }),
    args: () => ['--num-cpus', '4', ...pageArgs('init2')],
    policy: 0x5,
  },
];

describe('virt-qemu-sev-validate and this library', () => {
  test.each(CASES)(
    'accept the same launch, and refuse it with another build: $name',
    async ({ inputs, args, policy }) => {
      const context = { ...CONTEXT, ...(policy !== undefined && { policy }) };
      const launch = inputs();
      const measurement = toBase64(measure(launch, context));
      const other = { ...context, buildId: context.buildId + 1 };
      expect([await stock(measurement, launch, args(), context), ours(measurement, launch, context)]).toEqual([
        0,
        true,
      ]);
      expect([await stock(measurement, launch, args(), other), ours(measurement, launch, other)]).toEqual([1, false]);
    },
  );

  test('refuse an INIT2 launch with the page that the tool builds, which is the legacy one', async () => {
    const context = { ...CONTEXT, policy: 0x5 };
    const measurement = toBase64(measure({ guestFirmware: sampleOvmf(), vcpus: es(2, 'init2') }, context));
    const legacy = { guestFirmware: sampleOvmf(), vcpus: es(2) };
    expect(await stock(measurement, legacy, ['--num-cpus', '2', ...MILAN], context)).toBe(1);
    expect(ours(measurement, legacy, context)).toBe(false);
  });

  test.each([
    ['a 49th byte', (blob: Uint8Array) => toBase64(concatBytes(blob, Uint8Array.of(0)))],
    ['a star in the base64', (blob: Uint8Array) => `${toBase64(blob).slice(0, 8)}*${toBase64(blob).slice(8)}`],
  ])('disagree about %s: the tool takes it, this library does not', async (_, spoil) => {
    const launch = { guestFirmware: sampleOvmf() };
    const measurement = spoil(measure(launch));
    expect([await stock(measurement, launch, []), ours(measurement, launch)]).toEqual([0, false]);
  });
});
