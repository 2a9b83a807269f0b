import { describe, expect, it } from 'vitest';
import { parseEncryptionLeaf, parseRegisters } from './cpuid.ts';

describe('CPUID 0x8000001F', () => {
  const registers = (...words: number[]) => {
    const bytes = new Uint8Array(16);
    words.forEach((word, index) => {
      new DataView(bytes.buffer).setUint32(index * 4, word, true);
    });
    const parsed = parseRegisters(bytes);
    if (parsed === undefined) throw new Error('sixteen bytes are four registers');
    return parsed;
  };

  it('of a public Milan dump', () => {
    expect(parseEncryptionLeaf(registers(0x0101fd3f, 0x00004173, 0x1fd, 0x80))).toEqual({
      sme: true,
      sev: true,
      sevEs: true,
      sevSnp: true,
      vmpls: 4,
      cbitpos: 51,
      reducedPhysBits: 5,
      maxAsid: 509,
      minSevAsid: 128,
    });
  });

  it('of fewer than sixteen bytes is nothing', () => {
    expect(parseRegisters(new Uint8Array(15))).toBeUndefined();
  });
});
