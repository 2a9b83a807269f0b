import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readSevFacts, type SevFacts } from './facts.ts';
import { readWholeFile } from './files.ts';
import { type Host, openHost } from './host.ts';
import { findMeasuredBootImage } from './measured-boot.ts';
import { parseHostName } from './name.ts';
import { unmetNeeds } from './needs.ts';
import type { FileReading } from './shell.ts';

let host: Host;
let facts: SevFacts;

beforeAll(async () => {
  host = await openHost(parseHostName('fake:naples'));
  facts = await readSevFacts(host);
});
afterAll(() => host?.close());

/** The same host where nothing but these files can be read. */
const withFiles = (files: Readonly<Record<string, FileReading>>): Host => ({
  ...host,
  shell: {
    ...host.shell,
    readFile: async (path, { offset, length } = { offset: 0, length: Number.POSITIVE_INFINITY }) => {
      const reading = files[path] ?? ({ outcome: 'absent' } as const);
      if (reading.outcome !== 'read') return reading;
      return { outcome: 'read', bytes: reading.bytes.subarray(offset, offset + length) };
    },
  },
});

describe('a guest firmware for measured direct boot', () => {
  test('is found by what its table says', async () => {
    expect(await findMeasuredBootImage(host, facts)).toMatchObject({ path: '/usr/share/ovmf/OVMF.amdsev.fd' });
    expect(await unmetNeeds(['kernel-hashes'], host, facts)).toEqual([]);
  });

  test('is not one without a place for hashes, without a table, or out of reach: the reason names where we looked', async () => {
    const [usual = '', cut = '', closed = ''] = facts.loaders;
    const plain = withFiles({
      // As of any OVMF: a table, with an entry for hashes that names no place.
      [usual]: await readWholeFile(host.shell, usual),
      [cut]: { outcome: 'read', bytes: new Uint8Array(8192) },
      [closed]: { outcome: 'unreadable', because: 'EACCES' },
    });
    const found = await findMeasuredBootImage(plain, facts);
    expect(found).toEqual({ because: expect.stringContaining('/usr/share/edk2/ovmf/OVMF.amdsev.fd') });
    expect(found).toEqual({ because: expect.stringContaining(closed) });
  });

  test.each([
    ['qemu', '6.1.1'],
    ['libvirt', '7.10.0'],
  ])('is of no use to %s %s', async (name, version) => {
    const old = { ...facts, versions: { ...facts.versions, [name]: version } };
    expect(await unmetNeeds(['kernel-hashes'], host, old)).toEqual([
      { need: 'kernel-hashes', because: expect.stringContaining(`${name} ${version} knows no kernel hashes`) },
    ]);
  });
});
