import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeCpuSignature, encodeCpuSignature, formatCpuSignature, KNOWN_CPUS } from './cpu-signature.ts';

describe('CPU signatures', () => {
  // EAX of CPUID leaf 1 as those processors report it.
  test.each([
    [23, 1, 2, 0x0080_0f12],
    [23, 49, 0, 0x0083_0f10],
    [25, 1, 1, 0x00a0_0f11],
    [25, 17, 0, 0x00a1_0f10],
    [25, 160, 2, 0x00aa_0f02],
    [26, 2, 1, 0x00b0_0f21],
    [26, 17, 0, 0x00b1_0f10],
    [6, 6, 3, 0x0000_0663],
  ])('%i/%i/%i is 0x%s', (family, model, stepping, signature) => {
    expect(encodeCpuSignature({ family, model, stepping })).toBe(signature);
  });

  test('come back from their encoding', () => {
    const part = (max: number) => fc.integer({ min: 0, max });
    fc.assert(
      fc.property(fc.record({ family: part(0x10e), model: part(0xff), stepping: part(0xf) }), (sku) => {
        expect(decodeCpuSignature(encodeCpuSignature(sku))).toEqual(sku);
      }),
    );
  });

  test.each([
    { family: 0x10f, model: 0, stepping: 0 },
    { family: 25, model: 256, stepping: 0 },
    { family: 25, model: 1, stepping: 16 },
    { family: -1, model: 1, stepping: 1 },
    { family: 25.5, model: 1, stepping: 1 },
    { family: Number.NaN, model: 1, stepping: 1 },
  ])('refuse $family/$model/$stepping', (sku) => {
    expect(() => encodeCpuSignature(sku)).toThrow(expect.objectContaining({ code: 'CPU_SIGNATURE_INVALID' }));
  });

  test('are printed with the names of what has them', () => {
    expect(formatCpuSignature(0x00a0_0f11)).toBe('0x00a00f11 (25/1/1: EPYC-Milan, Milan)');
    expect(formatCpuSignature(0x0000_0663)).toBe('0x00000663 (6/6/3)');
  });

  test('of the known CPUs are all different', () => {
    expect(new Set(KNOWN_CPUS.map(({ signature }) => signature)).size).toBe(KNOWN_CPUS.length);
  });
});
