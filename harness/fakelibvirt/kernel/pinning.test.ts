import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type MemoryRegion, pinRegions } from './pinning.ts';

const NO_LIMIT = { lockKiB: Number.POSITIVE_INFINITY, cgroupKiB: Number.POSITIVE_INFINITY };
const region = (sizeKiB: number, name = 'pc.ram'): MemoryRegion => ({ name, sizeKiB });

describe('pinning encrypted memory', () => {
  test('without a limit takes what the host has', () => {
    expect(pinRegions([region(4096), region(4)], NO_LIMIT, 4100)).toEqual({ outcome: 'pinned' });
  });

  test('beyond the limit on locked memory is refused in the kernel’s words, at the region that goes beyond', () => {
    const flash = region(4096, 'system.flash0');
    expect(pinRegions([region(262_144), flash], { ...NO_LIMIT, lockKiB: 262_144 }, 1e9)).toEqual({
      outcome: 'refused',
      region: flash,
      log: 'SEV: 66560 locked pages exceed the lock limit of 65536.',
    });
  });

  test('beyond what the host has free is refused with the pages that could not be had', () => {
    expect(pinRegions([region(8192)], NO_LIMIT, 4096)).toMatchObject({
      outcome: 'refused',
      log: 'SEV: Failure locking 2048 pages.',
    });
  });

  test('is refused exactly when all regions together exceed the limit, counted in pages', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 8 });
    const pagesTooFew = fc.integer({ min: -2, max: 2 });
    fc.assert(
      fc.property(sizes, pagesTooFew, (kiB, tooFew) => {
        const pages = kiB.reduce((sum, size) => sum + Math.ceil(size / 4), 0);
        const lockKiB = Math.max(0, pages - tooFew) * 4 + 3;
        const regions = kiB.map((size) => region(size));
        const { outcome } = pinRegions(regions, { ...NO_LIMIT, lockKiB }, 1e9);
        expect(outcome).toBe(tooFew <= 0 ? 'pinned' : 'refused');
      }),
    );
  });
});
