import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../../core/bytes.ts';
import { MemoryController } from './controller.ts';
import type { MemoryFaultId } from './faults.ts';
import { PAGE_BYTES, type TweakConstants } from './tweak.ts';

const noise = (seed: string) => (length: number) => {
  const parts: Buffer[] = [];
  for (let i = 0; parts.length * 32 < length; i++) parts.push(createHash('sha256').update(`${seed} ${i}`).digest());
  return new Uint8Array(Buffer.concat(parts).subarray(0, length));
};

function counting(seed: string): (length: number) => Uint8Array {
  let calls = 0;
  return (length) => noise(`${seed} ${calls++}`)(length);
}

const keyA = noise('key a')(16);
const keyB = noise('key b')(16);

function controller(tweak: TweakConstants = 'per-boot', fault?: MemoryFaultId, seed = 'boot 1'): MemoryController {
  return new MemoryController({ tweak, random: counting(seed), ...(fault ? { faults: new Set([fault]) } : {}) });
}

function hex(text: string): Uint8Array {
  const bytes = fromHex(text);
  if (!bytes) throw new Error(text);
  return bytes;
}

describe('known answers', () => {
  test('block 0 has no tweak: FIPS 197 appendix C.1', () => {
    const memory = controller();
    memory.loadKey(1, hex('000102030405060708090a0b0c0d0e0f'));
    const stored = memory.encrypt(1, 0, hex('00112233445566778899aabbccddeeff'));
    expect(toHex(stored)).toBe('69c4e0d86a7b0430d8cdb78070b4c55a');
  });

  test('without the tweak it is AES-128-ECB: SP 800-38A F.1.1', () => {
    const memory = controller('per-boot', 'memory-without-tweak');
    memory.loadKey(1, hex('2b7e151628aed2a6abf7158809cf4f3c'));
    const stored = memory.encrypt(1, 0x7000, hex('6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51'));
    expect(toHex(stored)).toBe('3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf');
  });

  test('Naples encrypts alike on every machine, later generations do not', () => {
    const plain = new Uint8Array(64);
    const stored = (tweak: TweakConstants, seed: string) => {
      const memory = controller(tweak, undefined, seed);
      memory.loadKey(1, keyA);
      return toHex(memory.encrypt(1, 0x1230_0000, plain));
    };
    expect(stored('fixed', 'one')).toBe(stored('fixed', 'two'));
    expect(stored('per-boot', 'one')).not.toBe(stored('per-boot', 'two'));
  });
});

describe.each<TweakConstants>(['fixed', 'per-boot'])('tweak %s', (tweak) => {
  const memory = controller(tweak);
  memory.loadKey(1, keyA);
  memory.loadKey(2, keyB);
  const block = fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((n) => n * 16);

  test('decrypting gives back what was encrypted, at any address and over page and batch borders', () => {
    fc.assert(
      fc.property(block, fc.integer({ min: 1, max: 700 }), fc.integer(), (address, blocks, salt) => {
        const plain = noise(String(salt))(blocks * 16);
        const stored = memory.encrypt(1, address, plain);
        expect(toHex(memory.decrypt(1, address, stored))).toBe(toHex(plain));
        expect(toHex(stored)).not.toBe(toHex(plain));
      }),
      { numRuns: 60 },
    );
  });

  test('encrypting in pieces gives the bytes of encrypting at once', () => {
    fc.assert(
      fc.property(block, fc.integer({ min: 1, max: 600 }), (address, cut) => {
        const plain = noise('pieces')(601 * 16);
        const whole = memory.encrypt(1, address, plain);
        const pieces = [
          memory.encrypt(1, address, plain.subarray(0, cut * 16)),
          memory.encrypt(1, address + cut * 16, plain.subarray(cut * 16)),
        ];
        expect(Buffer.concat(pieces).equals(whole)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test('equal blocks at different addresses below 64 GiB have different ciphertext', () => {
    fc.assert(
      fc.property(block, block, (a, b) => {
        fc.pre(a !== b);
        const plain = new Uint8Array(16).fill(0x41);
        expect(toHex(memory.encrypt(1, a, plain))).not.toBe(toHex(memory.encrypt(1, b, plain)));
      }),
    );
  });

  test('the same page at the same address in two slots has different ciphertext', () => {
    const plain = new Uint8Array(PAGE_BYTES);
    expect(memory.encrypt(1, 0x5000, plain)).not.toEqual(memory.encrypt(2, 0x5000, plain));
  });

  test('a page of zeros has no two equal blocks', () => {
    const stored = memory.encrypt(1, 0x4000_0000, new Uint8Array(PAGE_BYTES));
    const blocks = new Set(Array.from({ length: 256 }, (_, i) => toHex(stored.subarray(i * 16, i * 16 + 16))));
    expect(blocks.size).toBe(256);
  });
});

test('ranges above one batch of 256 KiB come out as the same bytes', () => {
  const memory = controller();
  memory.loadKey(1, keyA);
  const plain = noise('large')(300 * 1024);
  const whole = memory.encrypt(1, 0x4000_0010, plain);
  const tail = memory.encrypt(1, 0x4000_0010 + 280 * 1024, plain.subarray(280 * 1024));
  expect(Buffer.compare(whole.subarray(280 * 1024), tail)).toBe(0);
  expect(Buffer.compare(memory.decrypt(1, 0x4000_0010, whole), plain)).toBe(0);
});

describe('keys', () => {
  test('memory of a freed slot does not decrypt, and neither does it under the key of the next guest', () => {
    const memory = controller();
    memory.loadKey(3, keyA);
    const plain = new Uint8Array(32).fill(7);
    const stored = memory.encrypt(3, 0x6000, plain);
    memory.dropKey(3);
    expect(() => memory.decrypt(3, 0x6000, stored)).toThrow(expect.objectContaining({ code: 'MEMORY_KEY_MISSING' }));
    memory.loadKey(3, keyB);
    expect(memory.decrypt(3, 0x6000, stored)).not.toEqual(plain);
  });

  test('the caller cannot change an installed key afterwards', () => {
    const memory = controller();
    const key = Uint8Array.from(keyA);
    memory.loadKey(1, key);
    const before = memory.encrypt(1, 0x6000, new Uint8Array(16));
    key.fill(0);
    expect(memory.encrypt(1, 0x6000, new Uint8Array(16))).toEqual(before);
  });
});

describe('faults', () => {
  const plain = new Uint8Array(PAGE_BYTES).fill(0x41);
  const faulty = (fault: MemoryFaultId) => {
    const memory = controller('per-boot', fault);
    memory.loadKey(1, keyA);
    memory.loadKey(2, keyB);
    return memory;
  };

  test('memory-in-clear stores what the guest wrote', () => {
    expect(faulty('memory-in-clear').encrypt(1, 0x1000, plain)).toEqual(plain);
  });

  test('memory-without-tweak makes equal pages look equal', () => {
    const memory = faulty('memory-without-tweak');
    expect(memory.encrypt(1, 0x1000, plain)).toEqual(memory.encrypt(1, 0x9000, plain));
    expect(memory.encrypt(1, 0x1000, plain)).not.toEqual(memory.encrypt(2, 0x1000, plain));
  });

  test('memory-key-shared makes the same page look equal in two guests', () => {
    const memory = faulty('memory-key-shared');
    expect(memory.encrypt(1, 0x1000, plain)).toEqual(memory.encrypt(2, 0x1000, plain));
    expect(memory.encrypt(1, 0x1000, plain)).not.toEqual(memory.encrypt(1, 0x9000, plain));
  });

  test('memory-masked hides what was written and no more: equal pages look equal everywhere', () => {
    const memory = faulty('memory-masked');
    const stored = memory.encrypt(1, 0x1000, plain);
    expect(stored).not.toEqual(plain);
    expect(memory.encrypt(2, 0x9000, plain)).toEqual(stored);
    expect(memory.decrypt(1, 0x1000, stored)).toEqual(plain);
  });

  test('memory-key-survives lets freed memory be decrypted', () => {
    const memory = faulty('memory-key-survives');
    const stored = memory.encrypt(1, 0x1000, plain);
    memory.dropKey(1);
    expect(memory.decrypt(1, 0x1000, stored)).toEqual(plain);
  });
});

test('misuse is a coded error and nothing else', () => {
  const memory = controller();
  memory.loadKey(1, keyA);
  const blocks = fc.nat(1 << 20).map((block) => block * 16);
  const address = fc.oneof(blocks, fc.integer(), fc.double());
  fc.assert(
    fc.property(address, fc.oneof(fc.constantFrom(0, 16, 64), fc.nat(70)), (at, length) => {
      const isOfBlocks = Number.isSafeInteger(at) && at >= 0 && at % 16 === 0 && length % 16 === 0;
      const encrypt = () => memory.encrypt(1, at, new Uint8Array(length));
      if (isOfBlocks) expect(encrypt()).toHaveLength(length);
      else expect(encrypt).toThrow(expect.objectContaining({ code: 'MEMORY_ADDRESS_INVALID' }));
    }),
  );
  expect(() => memory.loadKey(1, new Uint8Array(15))).toThrow(expect.objectContaining({ code: 'MEMORY_KEY_SIZE' }));
});
