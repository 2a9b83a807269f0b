import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { writeCpio } from './cpio.ts';

const text = (content: string) => new TextEncoder().encode(content);

describe('an archive', () => {
  it('has the header of the newc format, byte for byte', () => {
    const bytes = Buffer.from(writeCpio([{ kind: 'file', path: 'init', content: text('hello'), executable: true }]));
    const record =
      '07070100000001000081ed00000000000000000000000100000000000000050000000000000000000000000000000000000005';
    expect(bytes.toString('latin1', 0, 110)).toBe(`${record}00000000`);
    expect(bytes.toString('latin1', 110, 128)).toBe('init\0\0hello\0\0\0' + '0707');
    expect(bytes.toString('latin1').endsWith('TRAILER!!!\0\0\0\0')).toBe(true);
  });

  it('keeps every record at a multiple of four bytes, whatever the lengths are', () => {
    const files = fc.array(fc.record({ path: fc.stringMatching(/^[a-z]{1,20}$/), content: fc.uint8Array() }));
    fc.assert(
      fc.property(files, (given) => {
        const bytes = Buffer.from(writeCpio(given.map((file) => ({ kind: 'file', ...file }))));
        let at = 0;
        for (const { path, content } of [...given, { path: 'TRAILER!!!', content: new Uint8Array() }]) {
          expect(bytes.toString('latin1', at, at + 6)).toBe('070701');
          const field = (index: number) =>
            Number.parseInt(bytes.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
          expect([field(6), field(11)]).toEqual([content.length, path.length + 1]);
          const body = at + Math.ceil((110 + field(11)) / 4) * 4;
          expect(bytes.subarray(body, body + content.length).equals(content)).toBe(true);
          at = body + Math.ceil(content.length / 4) * 4;
        }
        expect(at).toBe(bytes.length);
      }),
    );
  });

  it('is unpacked by who reads such archives', (context) => {
    const archive = writeCpio([
      { kind: 'folder', path: 'bin' },
      { kind: 'file', path: 'bin/sh', content: text('#!'), executable: true },
      { kind: 'device', path: 'console', major: 5, minor: 1 },
    ]);
    let listing: string;
    try {
      listing = execFileSync('busybox', ['cpio', '-tv'], {
        input: archive,
        env: { TZ: 'UTC' },
        stdio: ['pipe', 'pipe', 'ignore'],
      }).toString();
    } catch {
      return context.skip('busybox is not installed');
    }
    expect(listing.split('\n').map((one) => one.replace(/\s+/g, ' '))).toEqual([
      'drwxr-xr-x 0/0 0 1970-01-01 00:00:00 bin',
      '-rwxr-xr-x 0/0 2 1970-01-01 00:00:00 bin/sh',
      'crw------- 0/0 0 1970-01-01 00:00:00 console',
      '',
    ]);
  });
});
