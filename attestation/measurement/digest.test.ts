import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { concatBytes, toHex } from '../../core/bytes.ts';
import { type BuiltVcpus, computeLaunchDigest, resolveVcpuPages } from './digest.ts';
import { computeKernelHashes, encodeKernelHashes } from './kernel-hashes.ts';
import { sampleOvmf } from './sample-ovmf.ts';
import { BSP_RESET_EIP, buildVmsa } from './vmsa.ts';

const guestFirmware = sampleOvmf();
const kernelHashes = computeKernelHashes({ kernel: Buffer.from('k'), cmdline: 'c' });
const built: BuiltVcpus = { kind: 'built', count: 3, cpuSignature: 0x00a0_0f11, form: 'legacy' };
const bsp = buildVmsa({ resetEip: BSP_RESET_EIP, cpuSignature: 0x00a0_0f11, form: 'legacy' });
const ap = buildVmsa({ resetEip: 0x0080_b004, cpuSignature: 0x00a0_0f11, form: 'legacy' });
const sha256 = (...parts: Uint8Array[]) =>
  createHash('sha256')
    .update(concatBytes(...parts))
    .digest('hex');

describe('computeLaunchDigest', () => {
  test('of a SEV guest is the hash of its firmware', () => {
    expect(toHex(computeLaunchDigest({ guestFirmware }))).toBe(sha256(guestFirmware));
  });

  test('covers firmware, kernel hashes and one page per vCPU, in this order', () => {
    const digest = computeLaunchDigest({ guestFirmware, kernelHashes, vcpus: built });
    expect(toHex(digest)).toBe(sha256(guestFirmware, encodeKernelHashes(kernelHashes), bsp, ap, ap));
  });

  test('is the same for given pages and for built ones', () => {
    const given = computeLaunchDigest({ guestFirmware, vcpus: { kind: 'given', count: 3, bsp, ap } });
    expect(given).toEqual(computeLaunchDigest({ guestFirmware, vcpus: built }));
  });

  test('of one vCPU needs neither a second page nor a reset vector', () => {
    const image = sampleOvmf({ resetEip: undefined });
    const digest = computeLaunchDigest({ guestFirmware: image, vcpus: { kind: 'given', count: 1, bsp } });
    expect(toHex(digest)).toBe(sha256(image, bsp));
    expect(computeLaunchDigest({ guestFirmware: image, vcpus: { ...built, count: 1 } })).toEqual(digest);
  });

  test('of a SEV guest without kernel hashes needs no OVMF table: the image can be anything', () => {
    expect(toHex(computeLaunchDigest({ guestFirmware: Uint8Array.of(1) }))).toBe(sha256(Uint8Array.of(1)));
  });

  test.each([
    ['an empty firmware', { guestFirmware: new Uint8Array() }, 'LAUNCH_INPUT_INVALID'],
    ['no vCPU', { guestFirmware, vcpus: { ...built, count: 0 } }, 'LAUNCH_INPUT_INVALID'],
    ['a negative number of vCPUs', { guestFirmware, vcpus: { ...built, count: -1 } }, 'LAUNCH_INPUT_INVALID'],
    ['half a vCPU', { guestFirmware, vcpus: { ...built, count: 1.5 } }, 'LAUNCH_INPUT_INVALID'],
    ['a million vCPUs', { guestFirmware, vcpus: { ...built, count: 1_000_000 } }, 'LAUNCH_INPUT_INVALID'],
    ['two vCPUs and one page', { guestFirmware, vcpus: { kind: 'given', count: 2, bsp } }, 'LAUNCH_INPUT_INVALID'],
    ['a short page', { guestFirmware, vcpus: { kind: 'given', count: 1, bsp: bsp.slice(1) } }, 'VMSA_MALFORMED'],
    [
      'a long second page',
      { guestFirmware, vcpus: { kind: 'given', count: 2, bsp, ap: new Uint8Array(4097) } },
      'VMSA_MALFORMED',
    ],
    [
      'two vCPUs and no reset vector',
      { guestFirmware: sampleOvmf({ resetEip: undefined }), vcpus: built },
      'OVMF_NO_RESET_BLOCK',
    ],
    [
      'two vCPUs and reset vector 0',
      { guestFirmware: sampleOvmf({ resetEip: 0 }), vcpus: built },
      'OVMF_NO_RESET_BLOCK',
    ],
    [
      'kernel hashes without a place for them',
      { guestFirmware: sampleOvmf({ hashesArea: undefined }), kernelHashes },
      'OVMF_NO_HASHES_TABLE',
    ],
    [
      'kernel hashes and an area at address 0',
      { guestFirmware: sampleOvmf({ hashesArea: [0, 0x400] }), kernelHashes },
      'OVMF_NO_HASHES_TABLE',
    ],
    [
      'kernel hashes and an area of 175 bytes',
      { guestFirmware: sampleOvmf({ hashesArea: [0x0080_fc00, 175] }), kernelHashes },
      'OVMF_NO_HASHES_TABLE',
    ],
    ['kernel hashes and no table at all', { guestFirmware: new Uint8Array(4096), kernelHashes }, 'OVMF_NO_TABLE'],
  ] as const)('refuses %s', (_, inputs, code) => {
    expect(() => computeLaunchDigest(inputs)).toThrow(expect.objectContaining({ code }));
  });
});

test('resolveVcpuPages copies the pages it was given', () => {
  const page = Buffer.from(bsp);
  const pages = resolveVcpuPages({ kind: 'given', count: 1, bsp: page }, guestFirmware);
  page.fill(0);
  expect(pages.bsp).toEqual(bsp);
});
