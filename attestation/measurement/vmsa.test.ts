import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  BSP_RESET_EIP,
  buildSvsmVmsa,
  buildVmsa,
  DEBUG_SWAP,
  decodeVmsa,
  parseVmsa,
  patchVmsa,
  type VmsaSpec,
} from './vmsa.ts';
import { VMSA_REGISTERS } from './vmsa-fields.ts';

const MILAN: VmsaSpec = { resetEip: BSP_RESET_EIP, cpuSignature: 0x00a0_0f11, form: 'legacy' };
const sha256 = (page: Uint8Array) => createHash('sha256').update(page).digest('hex');

describe('buildVmsa', () => {
  // The pages that virtee/sevctl keeps as test data, dumped from a kernel: vmsa0.bin and vmsa1.bin.
  test.each([
    ['boot vCPU', BSP_RESET_EIP, 'f8b52f775502472e5797d2674d9de21f6abc05dc05e9bc49cbb7b6a13688d5e7'],
    ['other vCPUs', 0x0080_b004, 'bcee5cb289f72882da17abd8dca5e8a7e9f8e2033e7ad96b4db0ab1a383a6487'],
  ])('gives, byte for byte, the page of the %s that a Milan host measures', (_, resetEip, expected) => {
    expect(sha256(buildVmsa({ ...MILAN, resetEip }))).toBe(expected);
  });

  test('changes MXCSR and FCW and nothing else for INIT2', () => {
    const [legacy, init2] = [decodeVmsa(buildVmsa(MILAN)), decodeVmsa(buildVmsa({ ...MILAN, form: 'init2' }))];
    expect(init2).toEqual({ ...legacy, registers: { ...legacy.registers, mxcsr: 0x1f80n, x87_fcw: 0x37fn } });
  });

  test('puts CPU signature, start and SEV_FEATURES where they belong', () => {
    const page = buildVmsa({ ...MILAN, resetEip: 0x1234_5678, cpuSignature: 0x0083_0f10, sevFeatures: DEBUG_SWAP });
    const { segments, registers } = decodeVmsa(page);
    expect([segments.cs.base, registers.rip]).toEqual([0x1234_0000n, 0x5678n]);
    expect([registers.rdx, registers.sev_features]).toEqual([0x0083_0f10n, 0x20n]);
  });

  test.each([
    ['ec2', { ss: 0x92, tr: 0x83, cs: 0x9a, rdx: 0x600n, g_pat: 0x0007_0406_0007_0406n }],
    ['ec2-2023', { ss: 0x92, tr: 0x83, cs: 0x9a, rdx: 0n, g_pat: 0x0007_0406_0007_0406n }],
    ['gce', { ss: 0x93, tr: 0x8b, cs: 0x9b, rdx: 0x600n, g_pat: 0x0007_0106n }],
  ] as const)('knows the page of %s, whose FPU fields are zero in any form', (vmm, expected) => {
    const { segments, registers } = decodeVmsa(buildVmsa({ ...MILAN, form: 'init2', vmm }));
    const { ss, tr, cs } = segments;
    expect({ ss: ss.attrib, tr: tr.attrib, cs: cs.attrib, rdx: registers.rdx, g_pat: registers.g_pat }).toEqual(
      expected,
    );
    expect([registers.mxcsr, registers.x87_fcw]).toEqual([0n, 0n]);
  });

  test('starts an SVSM in flat 32-bit mode', () => {
    const { segments, registers } = decodeVmsa(buildSvsmVmsa({ ...MILAN, resetEip: 0xffae_a000 }));
    expect(segments.cs).toEqual({ selector: 8, attrib: 0xc9b, limit: 0xffff_ffff, base: 0n });
    expect(segments.ds).toEqual({ selector: 16, attrib: 0xc93, limit: 0xffff_ffff, base: 0n });
    expect([registers.rip, registers.cr0, registers.sev_features]).toEqual([0xffae_a000n, 0x11n, 1n]);
  });

  test.each([
    { resetEip: -1 },
    { resetEip: 0x1_0000_0000 },
    { resetEip: 0.5 },
    { cpuSignature: 0x1_0000_0000 },
    { sevFeatures: -1 },
  ])('refuses %o', (change) => {
    expect(() => buildVmsa({ ...MILAN, ...change })).toThrow(expect.objectContaining({ code: 'LAUNCH_INPUT_INVALID' }));
  });
});

describe('patchVmsa', () => {
  test('gives the page that building with those values gives', () => {
    const uint32 = fc.nat(0xffff_ffff);
    const spec = fc.record({
      resetEip: uint32,
      cpuSignature: uint32,
      sevFeatures: uint32,
      form: fc.constantFrom('legacy' as const, 'init2' as const),
    });
    fc.assert(
      fc.property(spec, spec, (from, to) => {
        expect(patchVmsa(buildVmsa(from), to)).toEqual(buildVmsa(to));
      }),
    );
  });

  test('leaves the original alone', () => {
    const page = buildVmsa(MILAN);
    patchVmsa(page, { cpuSignature: 0 });
    expect(page).toEqual(buildVmsa(MILAN));
  });
});

describe('decodeVmsa', () => {
  test('has no two registers in one place', () => {
    const taken = VMSA_REGISTERS.flatMap(({ offset, size }) =>
      Array.from({ length: size }, (_, index) => offset + index),
    );
    expect(new Set(taken).size).toBe(taken.length);
  });

  test('reads each register at its own place and size', () => {
    for (const { name, offset, size } of VMSA_REGISTERS) {
      const page = new Uint8Array(4096);
      page.fill(0xff, offset, offset + size);
      const { registers, unknownNonZeroOffsets } = decodeVmsa(page);
      expect(registers[name], name).toBe((1n << BigInt(size * 8)) - 1n);
      expect(Object.values(registers).filter((value) => value !== 0n).length, name).toBe(1);
      expect(unknownNonZeroOffsets, name).toEqual([]);
    }
  });

  test('reports bytes that have no name', () => {
    const page = buildVmsa(MILAN);
    page[0xfff] = 1;
    page[0xa0] = 2;
    expect(decodeVmsa(page).unknownNonZeroOffsets).toEqual([0xa0, 0xfff]);
  });

  test('does not change the page', () => {
    const page = Buffer.from(buildVmsa(MILAN));
    decodeVmsa(page);
    expect(new Uint8Array(page)).toEqual(buildVmsa(MILAN));
  });
});

test.each([0, 4095, 4097])('parseVmsa refuses a page of %i bytes', (length) => {
  expect(() => parseVmsa(new Uint8Array(length))).toThrow(
    expect.objectContaining({ code: 'VMSA_MALFORMED', message: `VMSA page must be 4096 bytes, is ${length}` }),
  );
});
