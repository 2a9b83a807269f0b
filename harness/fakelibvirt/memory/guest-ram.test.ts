import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MemoryFaultId } from './faults.ts';
import { GuestRam } from './guest-ram.ts';
import { HostMemory } from './host-memory.ts';
import { PAGE_BYTES } from './tweak.ts';

let drawn = 0;
const random = (length: number) => Uint8Array.from({ length }, (_, i) => (drawn++ * 73 + i * 31 + 5) & 0xff);
const canary = Buffer.from('canary known to guest and owner ');
const MiB = 2 ** 20;

function host(fault?: MemoryFaultId): HostMemory {
  const memory = new HostMemory({ tweak: 'per-boot', random, ...(fault ? { faults: new Set([fault]) } : {}) });
  memory.loadKey(1, new Uint8Array(16).fill(0x11));
  memory.loadKey(2, new Uint8Array(16).fill(0x22));
  return memory;
}

function guest(memory: HostMemory, asid?: number, fault?: MemoryFaultId): GuestRam {
  return new GuestRam({
    memory,
    sizeBytes: 64 * MiB,
    ...(asid === undefined ? {} : { asid }),
    ...(fault ? { faults: new Set([fault]) } : {}),
  });
}

describe('what the host sees', () => {
  test('of a private page: ciphertext; of a shared page and of a plain guest: what was written', () => {
    const memory = host();
    const encrypted = guest(memory, 1);
    const plain = guest(memory);
    encrypted.setShared(8 * PAGE_BYTES, PAGE_BYTES, true);
    for (const ram of [encrypted, plain]) {
      ram.write(5 * PAGE_BYTES, canary);
      ram.write(8 * PAGE_BYTES, canary);
      expect(Buffer.from(ram.read(5 * PAGE_BYTES, 32))).toEqual(canary);
      expect(Buffer.from(ram.read(8 * PAGE_BYTES, 32))).toEqual(canary);
    }
    expect(Buffer.from(plain.hostRead(5 * PAGE_BYTES, 32))).toEqual(canary);
    expect(Buffer.from(encrypted.hostRead(8 * PAGE_BYTES, 32))).toEqual(canary);
    expect(Buffer.from(encrypted.hostRead(0, 8 * PAGE_BYTES)).includes(canary.subarray(0, 8))).toBe(false);
  });

  test('of equal pages at two addresses, and of the same page in two guests: different bytes', () => {
    const memory = host();
    const [one, two] = [guest(memory, 1), guest(memory, 2)];
    const page = new Uint8Array(PAGE_BYTES).fill(0x5a);
    one.write(0, page);
    one.write(PAGE_BYTES, page);
    two.write(0, page);
    expect(one.hostRead(0, PAGE_BYTES)).not.toEqual(one.hostRead(PAGE_BYTES, PAGE_BYTES));
    expect(one.hostRead(0, PAGE_BYTES)).not.toEqual(two.hostRead(0, PAGE_BYTES));
  });

  test('of an untouched page: zeros, which a guest reads as noise where the page is private', () => {
    const ram = guest(host(), 1);
    expect(ram.hostRead(0, PAGE_BYTES)).toEqual(new Uint8Array(PAGE_BYTES));
    expect(ram.read(0, PAGE_BYTES)).not.toEqual(new Uint8Array(PAGE_BYTES));
    ram.setShared(0, PAGE_BYTES, true);
    expect(ram.read(0, PAGE_BYTES)).toEqual(new Uint8Array(PAGE_BYTES));
  });

  test('equal ciphertext at one address when the guest writes A, B, A: the known ciphertext side channel', () => {
    const ram = guest(host(), 1);
    const seen = ['A', 'B', 'A'].map((letter) => {
      ram.write(0, new Uint8Array(16).fill(letter.charCodeAt(0)));
      return Buffer.from(ram.hostRead(0, 16)).toString('hex');
    });
    expect(seen[0]).toBe(seen[2]);
    expect(seen[0]).not.toBe(seen[1]);
  });
});

test('flipping a page does not convert what is stored', () => {
  const ram = guest(host(), 1);
  ram.write(0, canary);
  const stored = ram.hostRead(0, 32);
  ram.setShared(0, 1, true);
  expect(ram.read(0, 32)).toEqual(stored);
});

test('any sequence of guest writes reads back, private and shared, aligned or not', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          at: fc.nat(6 * PAGE_BYTES),
          bytes: fc.uint8Array({ minLength: 1, maxLength: 2 * PAGE_BYTES }),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      fc.subarray([0, 1, 2, 3, 4, 5, 6, 7]),
      (writes, shared) => {
        const memory = host();
        using ram = new GuestRam({ memory, asid: 1, sizeBytes: 8 * PAGE_BYTES });
        for (const page of shared) ram.setShared(page * PAGE_BYTES, PAGE_BYTES, true);
        const model = new Uint8Array(8 * PAGE_BYTES);
        ram.write(0, model);
        for (const { at, bytes } of writes) {
          const part = bytes.subarray(0, 8 * PAGE_BYTES - at);
          model.set(part, at);
          ram.write(at, part);
        }
        expect(Buffer.compare(ram.read(0, model.length), model)).toBe(0);
        for (let page = 0; page < 8; page++) {
          const range = [page * PAGE_BYTES, PAGE_BYTES] as const;
          expect(Buffer.compare(ram.hostRead(...range), ram.read(...range)) === 0).toBe(shared.includes(page));
        }
      },
    ),
    { numRuns: 40 },
  );
});

describe('sparse', () => {
  test('a scan of 256 MiB visits only what was touched, in order', () => {
    const memory = host();
    const ram = new GuestRam({ memory, asid: 1, sizeBytes: 256 * MiB });
    for (const page of [60_000, 3, 1024]) ram.write(page * PAGE_BYTES, new Uint8Array(PAGE_BYTES));
    expect([...ram.hostPages()].map((page) => page.guestAddress / PAGE_BYTES)).toEqual([3, 1024, 60_000]);
    expect(memory.dram.touchedPages).toBe(3);
    expect(ram.hostRead(0, 256 * MiB).length).toBe(256 * MiB);
    expect(memory.dram.touchedPages).toBe(3);
  });

  test('a released guest leaves nothing, and the next one of its size stands in the same place', () => {
    const memory = host();
    const first = guest(memory, 1);
    first.write(0, canary);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    expect(memory.dram.touchedPages).toBe(0);
    const [second, third] = [guest(memory, 2), guest(memory, 2)];
    expect(second.systemAddress).toBe(first.systemAddress);
    expect(third.systemAddress).not.toBe(second.systemAddress);
    expect(second.hostRead(0, 32)).toEqual(new Uint8Array(32));
  });
});

describe('faults', () => {
  test('shared-page-encrypted hides a shared page from the host and not from the guest', () => {
    const ram = guest(host(), 1, 'shared-page-encrypted');
    ram.setShared(0, PAGE_BYTES, true);
    ram.write(0, canary);
    expect(Buffer.from(ram.read(0, 32))).toEqual(canary);
    expect(Buffer.from(ram.hostRead(0, 32))).not.toEqual(canary);
  });

  test('memory-in-clear shows a private page to the host', () => {
    const ram = guest(host('memory-in-clear'), 1);
    ram.write(64, canary);
    expect(Buffer.from(ram.hostRead(64, 32))).toEqual(canary);
  });

  test('the memory of a guest that has ended is cleared; freed-memory-survives hands it on as it is stored', () => {
    const left = (fault?: MemoryFaultId) => {
      const memory = host();
      const before = guest(memory, 1, fault);
      before.write(0, canary);
      before.setShared(PAGE_BYTES, PAGE_BYTES, true);
      before.write(PAGE_BYTES, canary);
      const stored = before.hostRead(0, 2 * PAGE_BYTES);
      before[Symbol.dispose]();
      const after = guest(memory);
      expect(after.systemAddress).toBe(before.systemAddress);
      return { stored, found: after.hostRead(0, 2 * PAGE_BYTES) };
    };
    expect(left().found).toEqual(new Uint8Array(2 * PAGE_BYTES));
    const { stored, found } = left('freed-memory-survives');
    expect(found).toEqual(stored);
  });

  test('memory that was handed on is not met by a guest that takes its pages one by one', () => {
    const memory = host();
    const before = guest(memory, 1, 'freed-memory-survives');
    before.write(0, canary);
    before[Symbol.dispose]();
    const after = new GuestRam({ memory, sizeBytes: before.sizeBytes, isPopulated: false });
    expect(after.systemAddress).toBe(before.systemAddress);
    expect(after.hostRead(0, 32)).toEqual(new Uint8Array(32));
  });

  test('memory-key-survives hands on what the ended guest kept private, in clear', () => {
    const memory = host('memory-key-survives');
    const before = guest(memory, 1, 'memory-key-survives');
    before.write(0, canary);
    memory.dropKey(1);
    before[Symbol.dispose]();
    expect(Buffer.from(guest(memory, 2).hostRead(0, 32))).toEqual(canary);
  });
});

test('an access outside the RAM, and after its release, is a coded error', () => {
  const ram = guest(host(), 1);
  const address = fc.oneof(fc.nat(ram.sizeBytes), fc.integer(), fc.double());
  fc.assert(
    fc.property(address, fc.oneof(fc.integer({ max: 65_536 }), fc.nat(9)), (at, length) => {
      const isInside = Number.isInteger(at) && at >= 0 && length >= 0 && at + length <= ram.sizeBytes;
      if (isInside) expect(ram.read(at, length)).toHaveLength(length);
      else expect(() => ram.read(at, length)).toThrow(expect.objectContaining({ code: 'MEMORY_ADDRESS_INVALID' }));
    }),
  );
  ram[Symbol.dispose]();
  expect(() => ram.read(0, 1)).toThrow(/given back/);
});
