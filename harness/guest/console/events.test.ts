import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSevHarnessError } from '../../../core/errors.ts';
import { parseConsoleLine } from './events.ts';

const READY = {
  event: 'ready',
  kernel: '6.1.0-56-cloud-amd64',
  memoryKiB: 157316,
  efi: true,
  uptimeMs: 2247,
  modules: ['virtio_pci'],
};

const LINES: Readonly<Record<string, object>> = {
  ready: READY,
  cpu: {
    event: 'cpu',
    vendor: 'AuthenticAMD',
    encryptionLeaf: ['0x0001001f', '0x00004173', '0x000001fd', '0x00000080'],
    sevStatus: '0x3',
    because: null,
  },
  encryption: { event: 'encryption', line: 'Memory Encryption Features active: AMD SEV SEV-ES' },
  secret: { event: 'secret', guid: '736869e5-84f0-4973-92ec-06879ce3da0b', sha256: '0'.repeat(64) },
  secrets: { event: 'secrets', count: 0, from: null, because: 'no efi_secret driver' },
  canary: { event: 'canary', privateBytes: 2097152, sharedBytes: 0, because: 'no bounce buffers' },
  'equal-pages': { event: 'equal-pages', pages: 16, seed: 'a' },
  workload: { event: 'workload', name: 'memory-latency', unit: 'ns', samples: [193.957, 197] },
  'workload-failed': { event: 'workload-failed', name: 'disk-read', because: 'no disk' },
  problem: { event: 'problem', what: 'module msr: invalid' },
  idle: { event: 'idle' },
  'power-off': { event: 'power-off', because: 'console' },
};

const line = (fields: object) => `SEVH ${JSON.stringify(fields)}`;

describe('a line of the agent', () => {
  it.each(Object.entries(LINES))('%s is read as it was written', (_, fields) => {
    expect(parseConsoleLine(`${line(fields)}\r`)).toEqual(fields);
  });

  it('gives runs of memory as numbers', () => {
    const fields = { event: 'canary-pages', access: 'private', runs: ['0x1000000+0x8000', '0x102200000+0x200000'] };
    expect(parseConsoleLine(line(fields))).toEqual({
      event: 'canary-pages',
      access: 'private',
      runs: [
        { at: 0x1000000, bytes: 0x8000 },
        { at: 0x102200000, bytes: 0x200000 },
      ],
    });
  });

  it('is found behind what firmware or kernel left on the same line', () => {
    expect(parseConsoleLine(`\u001b[2J[    1.2] SEV${line({ event: 'idle' })}`)).toEqual({ event: 'idle' });
  });

  it.each([
    ['no JSON', 'SEVH {"event":'],
    ['cut in the middle by the kernel', line(READY).replace('"efi"', '[    3.4] random: crng init done')],
    ['an unknown event', line({ event: 'toString' })],
    ['no event', line({ kernel: 'x' })],
    ['a field missing', line({ ...READY, efi: undefined })],
    ['a field too many', line({ ...READY, colour: 'red' })],
    ['a number that is none', line({ ...READY, memoryKiB: '157316' })],
    ['a number below zero', line({ ...READY, memoryKiB: -1 })],
    ['a count with a fraction', line({ ...READY, memoryKiB: 1.5 })],
    ['a list with something else in it', line({ ...READY, modules: ['a', 1] })],
    ['a digest that is too short', line({ ...LINES.secret, sha256: 'ab' })],
    ['memory in decimal', line({ event: 'canary-pages', access: 'private', runs: ['4096+4096'] })],
    ['another kind of access', line({ event: 'canary-pages', access: 'public', runs: [] })],
    ['a register that is too short', line({ ...LINES.cpu, encryptionLeaf: ['0x1'] })],
  ])('with %s is refused', (_, text) => {
    expect(() => parseConsoleLine(text)).toThrow(expect.objectContaining({ code: 'CONSOLE_LINE_MALFORMED' }));
  });
});

describe('any other line', () => {
  it.each(['', 'SEVH', 'SEVH ready', 'GRUB loading.', '{"event":"idle"}', 'BdsDxe: loading Boot0001'])(
    "is noise: '%s'",
    (text) => {
      expect(parseConsoleLine(text)).toBeUndefined();
    },
  );

  it('is noise or refused with a code, whatever its bytes are', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string().map((tail) => `SEVH {${tail}`),
      fc.json().map((json) => `SEVH ${json}`),
    );
    fc.assert(
      fc.property(text, (given) => {
        try {
          const event = parseConsoleLine(given);
          return event === undefined || typeof event.event === 'string';
        } catch (error) {
          return isSevHarnessError(error, 'CONSOLE_LINE_MALFORMED');
        }
      }),
    );
  });
});
