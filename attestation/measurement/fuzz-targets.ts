import { concatBytes, toBase64 } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import type { Mnonce } from '../brands.ts';
import { readMeasurement } from '../explain/readings.ts';
import { type FuzzTarget, parsing } from '../testing/fuzz-targets.ts';
import { type LaunchEvidence, verifyLaunch } from '../verify/launch.ts';
import { computeLaunchDigest } from './digest.ts';
import { computeKernelHashes, encodeKernelHashes, parseKernelHashes } from './kernel-hashes.ts';
import {
  computeLaunchMeasurement,
  decodeMeasurementText,
  type LaunchContext,
  parseLaunchMeasure,
  parseTik,
} from './measurement.ts';
import { parseOvmfTable } from './ovmf.ts';
import { sampleOvmf, sampleSnpOvmf, uint32s } from './sample-ovmf.ts';
import { computeSnpLaunchDigest } from './snp-digest.ts';
import { parseSnpMetadata } from './snp-metadata.ts';
import { computeSvsmLaunchDigest } from './svsm-digest.ts';
import { BSP_RESET_EIP, buildVmsa, decodeVmsa } from './vmsa.ts';

const kernelHashes = computeKernelHashes({ kernel: new Uint8Array(8), cmdline: 'quiet' });
const vcpus = { kind: 'built', count: 2, cpuSignature: 0x00a0_0f11, form: 'init2', sevFeatures: 1 } as const;
const guestFirmware = sampleOvmf();
const bsp = buildVmsa({ resetEip: BSP_RESET_EIP, cpuSignature: 0x00a0_0f11, form: 'init2' });
const given = { kind: 'given', count: 1, bsp } as const;
const context: LaunchContext = { apiMajor: 1, apiMinor: 55, buildId: 21, policy: 5 };
const digest = computeLaunchDigest({ guestFirmware, kernelHashes, vcpus: given });
const tik = parseTik(new Uint8Array(16).fill(0x5a));
const mnonce = new Uint8Array(16).fill(0x77) as Mnonce;
const measurement = concatBytes(computeLaunchMeasurement(tik, context, digest, mnonce), mnonce);

function sampleSvsm(): Uint8Array {
  const image = sampleSnpOvmf([[0x9_e000, 0x1000, 2]]);
  const withInfo = sampleOvmf({
    more: [
      { guid: 'a789a612-0597-4c4b-a49f-cbb1fe9d1ddd', data: uint32s(0x100) },
      { guid: 'dc886566-984a-4798-a75e-5585a7bf67cc', data: uint32s(0x200) },
    ],
  });
  withInfo.set(image.subarray(image.length - 0x200, image.length - 0x100), image.length - 0x200);
  return withInfo;
}

/** One target per parser and calculator of launch measurements, and the verification that ties them together. */
export function measurementFuzzTargets(): FuzzTarget[] {
  return [
    parsing('ovmf-table', sampleOvmf(), parseOvmfTable),
    parsing('ovmf-table-snp', sampleSnpOvmf(), parseSnpMetadata),
    parsing('launch-digest-inputs', sampleOvmf(), (guestFirmware) =>
      computeLaunchDigest({ guestFirmware, kernelHashes, vcpus }),
    ),
    parsing('snp-launch-digest-inputs', sampleSnpOvmf(), (guestFirmware) =>
      computeSnpLaunchDigest({ guestFirmware, kernelHashes, vcpus }),
    ),
    parsing('svsm-image', sampleSvsm(), (svsm) =>
      computeSvsmLaunchDigest({ ...vcpus, vcpuCount: 2, svsm, guestFirmware: sampleOvmf(), varsSizeBytes: 0x2_0000 }),
    ),
    parsing('kernel-hashes-table', encodeKernelHashes(kernelHashes), parseKernelHashes),
    parsing('vmsa-page', bsp, decodeVmsa),
    parsing('launch-measure', measurement, parseLaunchMeasure),
    parsing('launch-measure-base64', Buffer.from(toBase64(measurement)), (bytes) =>
      decodeMeasurementText(Buffer.from(bytes).toString('utf8')),
    ),
    parsing('tik', tik.reveal(), parseTik),
    parsing('mistaken-measurement', Buffer.from(toBase64(measurement)), (bytes) => {
      readMeasurement(bytes, undefined);
      readMeasurement(Buffer.from(bytes).toString('latin1'), undefined);
    }),
    verifying('verify-measurement', measurement, (bytes) => ({ measurement: bytes })),
    verifying('verify-measurement-base64', Buffer.from(toBase64(measurement)), (bytes) => ({
      measurement: Buffer.from(bytes).toString('latin1'),
    })),
    verifying('verify-tik', tik.reveal(), (bytes) => ({ tik: new Secret(bytes) })),
    verifying('verify-guest-firmware', guestFirmware, (bytes) => ({
      digest: computeLaunchDigest({ guestFirmware: bytes, kernelHashes, vcpus: given }),
    })),
    verifying('verify-vmsa', bsp, (page) => ({
      digest: computeLaunchDigest({ guestFirmware, kernelHashes, vcpus: { ...given, bsp: page } }),
    })),
    verifying('verify-kernel-hashes', encodeKernelHashes(kernelHashes), (bytes) => ({
      digest: computeLaunchDigest({ guestFirmware, kernelHashes: parseKernelHashes(bytes), vcpus: given }),
    })),
  ];
}

function verifying(name: string, seed: Uint8Array, change: (bytes: Uint8Array) => Partial<LaunchEvidence>): FuzzTarget {
  const baseline: LaunchEvidence = { measurement, context, digest, tik };
  return { name, seed, sealed: true, run: (bytes) => verifyLaunch({ ...baseline, ...change(bytes) }).ok };
}
