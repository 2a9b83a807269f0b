import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../core/bytes.ts';
import { computeKernelHashes, encodeKernelHashes, parseKernelHashes } from './kernel-hashes.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('computeKernelHashes', () => {
  test('hashes the command line with its NUL', () => {
    const { cmdline, kernel, initrd } = computeKernelHashes({
      kernel: Buffer.from('k'),
      initrd: Buffer.from('i'),
      cmdline: 'console=ttyS0',
    });
    expect([cmdline, kernel, initrd].map(toHex)).toEqual([sha256('console=ttyS0\0'), sha256('k'), sha256('i')]);
  });

  test('takes a missing command line for an empty one, and a missing initrd for nothing', () => {
    const { cmdline, initrd } = computeKernelHashes({ kernel: Buffer.from('k') });
    expect([cmdline, initrd].map(toHex)).toEqual([sha256('\0'), sha256('')]);
  });

  test('hashes the command line as UTF-8', () => {
    const { cmdline } = computeKernelHashes({ kernel: Buffer.from('k'), cmdline: 'name=ö' });
    expect(toHex(cmdline)).toBe(createHash('sha256').update(Buffer.from('6e616d653dc3b600', 'hex')).digest('hex'));
  });

  test('refuses a command line with a NUL in it', () => {
    expect(() => computeKernelHashes({ kernel: Buffer.from('k'), cmdline: 'a\0b' })).toThrow(
      expect.objectContaining({ code: 'KERNEL_CMDLINE_INVALID', details: { offset: 1, length: 3 } }),
    );
  });
});

describe('the table', () => {
  const hashes = computeKernelHashes({ kernel: Buffer.from('k'), initrd: Buffer.from('i'), cmdline: 'c' });

  test('is 176 bytes: header, three entries, padding', () => {
    const table = encodeKernelHashes(hashes);
    expect(toHex(table)).toBe(
      [
        `06d63894224fc94cb479a793d411fd21${'a800'}`,
        `d82dd09720bd944caa78e7714d36ab2a${'3200'}${sha256('c\0')}`,
        `31f7ba442f3ad74b9af141e29169781d${'3200'}${sha256('i')}`,
        `3794e74dd2ab7f42b835d5b172d2045b${'3200'}${sha256('k')}`,
        '0000000000000000',
      ].join(''),
    );
  });

  test('comes back from its bytes, whatever the hashes', () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(fc.record({ cmdline: hash, initrd: hash, kernel: hash }), (any) => {
        expect(parseKernelHashes(encodeKernelHashes(any))).toEqual(any);
      }),
    );
  });

  test.each(['cmdline', 'initrd', 'kernel'] as const)('refuses a hash of 31 bytes for %s', (key) => {
    expect(() => encodeKernelHashes({ ...hashes, [key]: new Uint8Array(31) })).toThrow(
      expect.objectContaining({ code: 'KERNEL_HASHES_MALFORMED' }),
    );
  });
});
