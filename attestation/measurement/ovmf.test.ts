import { describe, expect, test } from 'vitest';
import { toHex } from '../../core/bytes.ts';
import { formatGuid, guidBytes } from './guid.ts';
import { parseOvmfTable } from './ovmf.ts';
import { sampleOvmf } from './sample-ovmf.ts';

describe('parseOvmfTable', () => {
  test('finds hashes area, secret area and reset vector', () => {
    expect(parseOvmfTable(sampleOvmf())).toMatchObject({
      hashesArea: { baseGpa: 0x0080_fc00, sizeBytes: 0x400 },
      secretArea: { baseGpa: 0x0080_f800, sizeBytes: 0x400 },
      resetEip: 0x0080_b004,
      sevMetadataFromEnd: undefined,
    });
  });

  test('lists every entry with its GUID, also those that it does not know', () => {
    const guid = '00112233-4455-6677-8899-aabbccddeeff';
    const { entries } = parseOvmfTable(sampleOvmf({ more: [{ guid, data: Uint8Array.of(1, 2, 3) }] }));
    expect(entries.map(({ guid, name }) => name ?? guid)).toEqual([
      guid,
      'SEV hashes table',
      'SEV secret block',
      'SEV-ES reset block',
    ]);
    expect(entries[0]?.data).toEqual(Uint8Array.of(1, 2, 3));
  });

  test('gives the offset of each entry, where its data is', () => {
    const image = sampleOvmf();
    for (const { offset, data } of parseOvmfTable(image).entries) {
      expect(image.slice(offset, offset + data.length)).toEqual(data);
    }
  });

  test('says nothing of areas that are empty, as in builds without AmdSev', () => {
    const table = parseOvmfTable(sampleOvmf({ hashesArea: [0, 0], secretArea: [0, 0] }));
    expect([table.hashesArea, table.secretArea]).toEqual([undefined, undefined]);
  });

  test('takes an empty table for what it is', () => {
    const image = sampleOvmf({ hashesArea: undefined, secretArea: undefined, resetEip: undefined });
    expect(parseOvmfTable(image).entries).toEqual([]);
  });

  test('works on an image that is a window into a larger buffer', () => {
    const image = sampleOvmf();
    const buffer = new Uint8Array(image.length + 100);
    buffer.set(image, 50);
    expect(parseOvmfTable(buffer.subarray(50, 50 + image.length))).toEqual(parseOvmfTable(image));
  });

  test('does not hand out windows into the image', () => {
    const image = Buffer.from(sampleOvmf());
    const { entries } = parseOvmfTable(image);
    image.fill(0);
    expect(entries.every(({ data }) => data.some((byte) => byte !== 0))).toBe(true);
  });
});

describe('GUIDs', () => {
  test('keep their first three groups in little-endian order', () => {
    expect(toHex(guidBytes('96b582de-1fb2-45f7-baea-a366c55a082d'))).toBe('de82b596b21ff745baeaa366c55a082d');
  });

  test('come back from their bytes', () => {
    const guid = '00112233-4455-6677-8899-aabbccddeeff';
    expect(formatGuid(guidBytes(guid))).toBe(guid);
  });
});
