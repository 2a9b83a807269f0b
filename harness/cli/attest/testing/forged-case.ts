import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Mnonce } from '../../../../attestation/brands.ts';
import { encodeAmdCaCertificate } from '../../../../attestation/certs/amd-ca.ts';
import { computeLaunchDigest, type Vcpus } from '../../../../attestation/measurement/digest.ts';
import { computeKernelHashes, type KernelFiles } from '../../../../attestation/measurement/kernel-hashes.ts';
import { computeLaunchMeasurement, type LaunchContext } from '../../../../attestation/measurement/measurement.ts';
import { sampleOvmf } from '../../../../attestation/measurement/sample-ovmf.ts';
import { openLaunchSession } from '../../../../attestation/session/launch-session.ts';
import { type ForgedPlatform, forgePlatform } from '../../../../attestation/testing/platform.ts';
import type { PlatformDefect } from '../../../../attestation/testing/platform-defects.ts';
import { concatBytes, fromBase64, toBase64 } from '../../../../core/bytes.ts';

/** What a host is asked to launch. */
export interface ForgedLaunch {
  readonly policy: number;
  readonly kernel?: KernelFiles;
  readonly vcpus?: Vcpus;
  readonly guestFirmware?: Uint8Array;
  readonly sevFirmware?: Omit<LaunchContext, 'policy'>;
}

/** A folder with every file that an owner has, for a platform that we made ourselves. */
export interface ForgedCase {
  readonly folder: string;
  readonly platform: ForgedPlatform;
  readonly guestFirmware: Uint8Array;
  readonly kernel: Required<KernelFiles>;
  readonly sevFirmware: Omit<LaunchContext, 'policy'>;
  readonly path: (name: string) => string;
  /** What the platform's firmware measures for a launch with the session of these base64 texts. Returns base64. */
  readonly launch: (session: { godh: string; session: string }, launch: ForgedLaunch) => string;
}

const SEV_FIRMWARE = { apiMajor: 1, apiMinor: 55, buildId: 21 } as const;
const MNONCE = Uint8Array.from({ length: 16 }, (_, index) => 0xa0 + index) as Mnonce;
const KERNEL = {
  kernel: Buffer.from('a kernel that no CPU runs'),
  initrd: Buffer.from('an initrd'),
  cmdline: 'root=LABEL=root quiet',
} as const;

/**
 * Writes pdh.b64, chain.b64 and chip-id as libvirt gives them, cek.cert, ask_ark.cert and root.cert as a manufacturer
 * does, export.cert as sevctl does, and OVMF.fd, vmlinuz, initrd.img and passphrase.txt.
 */
export function forgeCase(folder: string, defect?: PlatformDefect): ForgedCase {
  mkdirSync(folder, { recursive: true });
  const platform = forgePlatform({ defect });
  const guestFirmware = sampleOvmf({ sizeBytes: 1 << 16 });
  const write = (name: string, content: Uint8Array | string) => writeFileSync(path.join(folder, name), content);
  write('pdh.b64', toBase64(platform.files.pdh));
  write('chain.b64', `${toBase64(platform.files.certChain)}\n`);
  write('cek.cert', platform.files.cek);
  write('ask_ark.cert', platform.files.askArk);
  write('root.cert', encodeAmdCaCertificate(platform.verification.trustedRoot));
  write('export.cert', platform.files.fullExport);
  write('OVMF.fd', guestFirmware);
  write('vmlinuz', KERNEL.kernel);
  write('initrd.img', KERNEL.initrd);
  write('passphrase.txt', 'correct horse battery staple');
  return {
    folder,
    platform,
    guestFirmware,
    kernel: KERNEL,
    sevFirmware: SEV_FIRMWARE,
    path: (name) => path.join(folder, name),
    launch: (session, launch) => measure(platform, guestFirmware, session, launch),
  };
}

function measure(
  platform: ForgedPlatform,
  guestFirmware: Uint8Array,
  session: { godh: string; session: string },
  launch: ForgedLaunch,
): string {
  const { policy, kernel, vcpus, sevFirmware = SEV_FIRMWARE } = launch;
  const { tik } = openLaunchSession({
    godh: bytesOf(session.godh),
    session: bytesOf(session.session),
    pdhPrivateKey: platform.privateKeys.pdh,
    policy,
  });
  const digest = computeLaunchDigest({
    guestFirmware: launch.guestFirmware ?? guestFirmware,
    ...(kernel === undefined ? {} : { kernelHashes: computeKernelHashes(kernel) }),
    ...(vcpus === undefined ? {} : { vcpus }),
  });
  return toBase64(concatBytes(computeLaunchMeasurement(tik, { ...sevFirmware, policy }, digest, MNONCE), MNONCE));
}

function bytesOf(base64: string): Uint8Array {
  return fromBase64(base64) ?? new Uint8Array();
}
