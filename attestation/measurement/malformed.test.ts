import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, equalBytes } from '../../core/bytes.ts';
import { isSevHarnessError } from '../../core/errors.ts';
import { computeLaunchDigest } from './digest.ts';
import { measurementFuzzTargets } from './fuzz-targets.ts';
import { computeKernelHashes, encodeKernelHashes, parseKernelHashes } from './kernel-hashes.ts';
import { parseOvmfTable } from './ovmf.ts';
import { ovmfEntry, sampleOvmf, sampleSnpOvmf, uint32s } from './sample-ovmf.ts';
import { computeSnpFirmwareDigest, computeSnpLaunchDigest } from './snp-digest.ts';
import { parseSnpMetadata } from './snp-metadata.ts';
import { computeSvsmLaunchDigest } from './svsm-digest.ts';

/** One well-formed input, one thing broken per row, one code. */
function refuses(run: () => unknown, code: string, message: RegExp): void {
  expect(run).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
}

const UNKNOWN = '00112233-4455-6677-8899-aabbccddeeff';

describe('OVMF table', () => {
  const at = (image: Uint8Array, fromEnd: number, ...bytes: number[]) => {
    const copy = image.slice();
    copy.set(bytes, copy.length - fromEnd);
    return copy;
  };
  const RESET_GUID = '00f771de-1a7e-4fcb-890e-68c77e2fb44e';

  test.each<[string, Uint8Array, string, RegExp]>([
    ['no bytes', new Uint8Array(), 'OVMF_NO_TABLE', /of 0 bytes/],
    ['49 bytes', new Uint8Array(49), 'OVMF_NO_TABLE', /of 49 bytes/],
    ['a VARS file', new Uint8Array(0x2_0000).fill(0xff), 'OVMF_NO_TABLE', /footer GUID/],
    ['a cut-off image', sampleOvmf().slice(0, -1), 'OVMF_NO_TABLE', /footer GUID/],
    ['a byte behind the image', concatBytes(sampleOvmf(), Uint8Array.of(0)), 'OVMF_NO_TABLE', /footer GUID/],
    ['a table of 0 bytes', at(sampleOvmf(), 50, 0, 0), 'OVMF_MALFORMED', /must be at least 18, is 0/],
    ['a table of 17 bytes', at(sampleOvmf(), 50, 17, 0), 'OVMF_MALFORMED', /must be at least 18, is 17/],
    ['a table of 19 bytes', at(sampleOvmf(), 50, 19, 0), 'OVMF_MALFORMED', /1 bytes .* too few for an entry/],
    ['a table of 65535 bytes', at(sampleOvmf(), 50, 0xff, 0xff), 'OVMF_MALFORMED', /starts before the image/],
    [
      'a table that starts one byte before the image',
      at(sampleOvmf({ sizeBytes: 142 }), 50, 111, 0),
      'OVMF_MALFORMED',
      /table of 111 bytes starts before the image of 142 bytes/,
    ],
    ['an entry of 0 bytes, an endless loop', at(sampleOvmf(), 68, 0, 0), 'OVMF_MALFORMED', /says 0$/],
    ['an entry of 17 bytes', at(sampleOvmf(), 68, 17, 0), 'OVMF_MALFORMED', /says 17$/],
    ['an entry longer than the table', at(sampleOvmf(), 68, 200, 0), 'OVMF_MALFORMED', /says 200$/],
    [
      'an entry that begins one byte before the table',
      at(sampleOvmf(), 120, 23, 0),
      'OVMF_MALFORMED',
      /must be 18 to 22 bytes long, says 23$/,
    ],
    ['an entry of 65535 bytes', at(sampleOvmf(), 68, 0xff, 0xff), 'OVMF_MALFORMED', /says 65535$/],
    [
      'a GUID twice',
      sampleOvmf({
        more: [
          { guid: UNKNOWN, data: Uint8Array.of(1) },
          { guid: UNKNOWN, data: Uint8Array.of(1) },
        ],
      }),
      'OVMF_MALFORMED',
      /appears twice/,
    ],
    [
      'the reset block twice, with another address',
      sampleOvmf({ more: [{ guid: RESET_GUID, data: uint32s(0x1234) }] }),
      'OVMF_MALFORMED',
      /SEV-ES reset block\) appears twice/,
    ],
    [
      'a reset block of 8 bytes',
      sampleOvmf({ resetEip: undefined, more: [{ guid: RESET_GUID, data: uint32s(1, 2) }] }),
      'OVMF_MALFORMED',
      /must hold 4 bytes, holds 8/,
    ],
    [
      'a hashes area of 4 bytes',
      sampleOvmf({ hashesArea: undefined, more: [{ guid: '7255371f-3a3b-4b04-927b-1da6efa8d454', data: uint32s(1) }] }),
      'OVMF_MALFORMED',
      /must hold 8 bytes, holds 4/,
    ],
  ])('refuses %s', (_, image, code, message) => {
    refuses(() => parseOvmfTable(image), code, message);
  });

  test('takes an image that is nothing but the table and the 32 bytes behind it', () => {
    const entry = ovmfEntry(UNKNOWN, Uint8Array.of(7));
    const image = sampleOvmf({
      hashesArea: undefined,
      secretArea: undefined,
      resetEip: undefined,
      sizeBytes: 50 + entry.length,
    });
    image.set(entry, 0);
    image.set([18 + entry.length, 0], entry.length);
    expect(parseOvmfTable(image).entries).toMatchObject([{ guid: UNKNOWN, offset: 0 }]);
  });

  test('walks the largest possible table in one go', () => {
    const more = Array.from({ length: 3600 }, (_, index) => ({
      guid: `00000000-0000-0000-0000-${index.toString(16).padStart(12, '0')}`,
      data: new Uint8Array(),
    }));
    expect(parseOvmfTable(sampleOvmf({ more, sizeBytes: 0x1_0000 })).entries.length).toBe(3603);
  });
});

describe('SEV metadata', () => {
  const OFFSET = 0x200;
  const edit = (field: number, ...values: number[]) => {
    const image = sampleSnpOvmf();
    image.set(uint32s(...values), image.length - OFFSET + field);
    return image;
  };
  const section = (gpa: number, size: number, type: number) => sampleSnpOvmf([[gpa, size, type]]);

  test('is read in order', () => {
    expect(parseSnpMetadata(sampleSnpOvmf()).map(({ kind }) => kind)).toEqual([
      'sec-mem',
      'secrets',
      'cpuid',
      'kernel-hashes',
    ]);
  });

  test.each<[string, Uint8Array, string, RegExp]>([
    ['none', sampleOvmf(), 'OVMF_NO_SNP_METADATA', /no SEV metadata/],
    [
      'an offset before the image',
      sampleOvmf({ more: [{ guid: 'dc886566-984a-4798-a75e-5585a7bf67cc', data: uint32s(4097) }] }),
      'OVMF_MALFORMED',
      /starts 4097 before its end/,
    ],
    [
      'an offset of 0',
      sampleOvmf({ more: [{ guid: 'dc886566-984a-4798-a75e-5585a7bf67cc', data: uint32s(0) }] }),
      'OVMF_MALFORMED',
      /starts 0 before its end/,
    ],
    ['another signature', edit(0, 0x4242_4242), 'OVMF_MALFORMED', /must begin with ASEV, begins with "BBBB"/],
    ['version 2', edit(8, 2), 'OVMF_MALFORMED', /version must be 1, is 2/],
    ['more sections than its size', edit(12, 5), 'OVMF_MALFORMED', /5 sections and its size of 64 bytes/],
    ['fewer sections than its size', edit(12, 3), 'OVMF_MALFORMED', /3 sections and its size of 64 bytes/],
    ['four thousand million sections', edit(4, 0xffff_ffff, 1, 0xffff_ffff), 'OVMF_MALFORMED', /4294967295 sections/],
    ['a size that runs past the image', edit(4, 16 + 12 * 100, 1, 100), 'OVMF_MALFORMED', /100 sections/],
    ['an unknown section type', section(0x1000, 0x1000, 5), 'OVMF_MALFORMED', /type 0x5 is unknown/],
    ['an address within a page', section(0x1010, 0x1000, 1), 'OVMF_MALFORMED', /whole pages/],
    ['half a page', section(0x1000, 0x800, 1), 'OVMF_MALFORMED', /whole pages/],
    ['no page', section(0x1000, 0, 1), 'OVMF_MALFORMED', /whole pages/],
    ['two secrets pages', section(0x1000, 0x2000, 2), 'OVMF_MALFORMED', /must be one page/],
    ['four GiB of pages', section(0, 0xffff_f000, 1), 'OVMF_MALFORMED', /65536 pages at most/],
  ])('refuses %s', (_, image, code, message) => {
    refuses(() => parseSnpMetadata(image), code, message);
  });

  const vcpus = { kind: 'built', count: 1, cpuSignature: 0, form: 'init2' } as const;
  const kernelHashes = computeKernelHashes({ kernel: new Uint8Array() });

  test.each<[string, () => unknown, string, RegExp]>([
    [
      'an image of 4095 bytes',
      () => computeSnpFirmwareDigest(new Uint8Array(4095)),
      'LAUNCH_INPUT_INVALID',
      /whole pages/,
    ],
    ['an empty image', () => computeSnpFirmwareDigest(new Uint8Array()), 'LAUNCH_INPUT_INVALID', /whole pages/],
    [
      'kernel hashes and no page for them',
      () => computeSnpLaunchDigest({ guestFirmware: section(0x1000, 0x1000, 2), vcpus, kernelHashes }),
      'OVMF_NO_HASHES_TABLE',
      /no such page/,
    ],
    [
      'kernel hashes that cross the end of their page',
      () =>
        computeSnpLaunchDigest({
          guestFirmware: sampleSnpOvmf(undefined, { hashesArea: [0x80_ff51, 0x400] }),
          vcpus,
          kernelHashes,
        }),
      'OVMF_NO_HASHES_TABLE',
      /no such page/,
    ],
    [
      'an SVSM image that does not say where it starts',
      () =>
        computeSvsmLaunchDigest({
          ...vcpus,
          vcpuCount: 1,
          guestFirmware: sampleOvmf(),
          svsm: sampleSnpOvmf(),
          varsSizeBytes: 0,
        }),
      'LAUNCH_INPUT_INVALID',
      /must name its start/,
    ],
  ])('no SNP digest of %s', (_, run, code, message) => refuses(run, code, message));
});

describe('kernel hashes table', () => {
  const table = encodeKernelHashes(computeKernelHashes({ kernel: Buffer.from('k') }));
  const edit = (offset: number, ...bytes: number[]) => {
    const copy = table.slice();
    copy.set(bytes, offset);
    return copy;
  };

  test.each<[string, Uint8Array, RegExp]>([
    ['168 bytes, without padding', table.slice(0, 168), /must be 176 bytes, is 168/],
    ['177 bytes', concatBytes(table, Uint8Array.of(0)), /must be 176 bytes, is 177/],
    ['another GUID of the table', edit(0, 0), /at offset 0 expected 9438d606-.* of 168 bytes, found 9438d600-/],
    ['another length of the table', edit(16, 0xb0), /found 9438d606-.* of 176$/],
    ['another GUID of the first entry', edit(18, 0), /at offset 18 expected 97d02dd8-/],
    ['another length of the last entry', edit(134, 51), /at offset 118 .* of 51$/],
    [
      'entries in another order',
      concatBytes(table.slice(0, 18), table.slice(68, 118), table.slice(18, 68), table.slice(118)),
      /offset 18/,
    ],
    ['padding that is not zero', edit(175, 1), /padding from offset 168 must be zero/],
  ])('refuses %s', (_, bytes, message) => {
    refuses(() => parseKernelHashes(bytes), 'KERNEL_HASHES_MALFORMED', message);
  });
});

describe.each(measurementFuzzTargets().map((target) => [target.name, target] as const))('%s', (_, target) => {
  const accepts = (bytes: Uint8Array) => {
    try {
      return target.run(bytes);
    } catch (error) {
      if (isSevHarnessError(error)) return false;
      throw error;
    }
  };

  test('takes its seed', () => {
    expect(accepts(target.seed)).toBe(true);
  });

  test('takes or refuses any bytes, and throws nothing but coded errors', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000, size: 'max' }), (bytes) => {
        const taken = accepts(bytes);
        expect(taken && target.sealed && !equalBytes(bytes, target.seed)).toBe(false);
      }),
      { numRuns: 100 },
    );
  });

  test('takes or refuses any change of its seed', () => {
    const edits = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    // The table is at the end, so most edits go there.
    const place = (at: number) => (at % 4 === 0 ? at : target.seed.length - 1 - (at % 300)) % target.seed.length;
    fc.assert(
      fc.property(edits, fc.option(fc.integer({ min: -40, max: 40 }), { freq: 3 }), (steps, resize) => {
        const mutant = new Uint8Array(target.seed);
        for (const [at, byte] of steps) mutant[Math.abs(place(at))] = byte;
        const length = Math.max(0, mutant.length + (resize ?? 0));
        const resized = new Uint8Array(length);
        resized.set(mutant.subarray(0, length));
        const taken = accepts(resized);
        expect(taken && target.sealed && !equalBytes(resized, target.seed)).toBe(false);
      }),
      { numRuns: 300 },
    );
  });
});

test('a firmware that is not OVMF is measured all the same, when nothing in it is needed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), (guestFirmware) => {
      expect(computeLaunchDigest({ guestFirmware }).length).toBe(32);
    }),
  );
});
