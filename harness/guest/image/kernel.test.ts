import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findKernel, readKernelVersion } from './kernel.ts';
import { testKernel } from './testing/files.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sevh-kernel-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a kernel image', () => {
  it('tells its version', () => {
    expect(readKernelVersion(testKernel('6.1.0-56-cloud-amd64'), 'k')).toBe('6.1.0-56-cloud-amd64');
  });

  it.each([
    ['empty', new Uint8Array(), 'a bzImage has "HdrS" at 0x202'],
    ['an ELF file', Buffer.concat([Buffer.from('\x7fELF'), Buffer.alloc(4096)]), 'a bzImage has "HdrS" at 0x202'],
    ['cut off', testKernel('6.1.0').subarray(0, 0x300), 'its header names no version'],
    ['without a version', testKernel(''), 'its header names no version'],
  ])('that is %s is refused with what it lacks', (_, bytes, lacks) => {
    expect(() => readKernelVersion(bytes, '/boot/k')).toThrow(
      expect.objectContaining({ code: 'GUEST_KERNEL_FORM', message: `/boot/k is no x86 kernel: ${lacks}` }),
    );
  });
});

it('a kernel image of which the end is missing is refused with what it has', () => {
  const whole = testKernel('6.1.0');
  expect(() => readKernelVersion(whole.subarray(0, -1), '/boot/k')).toThrow(
    expect.objectContaining({
      code: 'GUEST_KERNEL_FORM',
      message: `/boot/k is cut off: its header says ${whole.length} bytes, it has ${whole.length - 1}`,
    }),
  );
  expect(readKernelVersion(Buffer.concat([whole, Buffer.from('signature')]), '/boot/k')).toBe('6.1.0');
});

describe('the kernel for guests', () => {
  it('is the one that is named', async () => {
    const file = path.join(folder, 'vmlinuz');
    await writeFile(file, testKernel('6.1.0'));
    expect(await findKernel(file)).toMatchObject({ path: file, version: '6.1.0' });
  });

  it('that is named and not there is an error that says which', async () => {
    const file = path.join(folder, 'nosuch');
    await expect(findKernel(file)).rejects.toMatchObject({
      code: 'GUEST_KERNEL_MISSING',
      kind: 'environment',
      message: expect.stringContaining(`cannot read kernel ${file}: ENOENT`),
      hint: expect.stringMatching(/^Name a kernel of this machine/),
    });
  });

  it('is a file: a folder is told as one, without a word on permissions', async () => {
    await expect(findKernel(folder)).rejects.toMatchObject({
      code: 'GUEST_KERNEL_MISSING',
      message: expect.stringContaining(`cannot read kernel ${folder}: EISDIR`),
      hint: expect.stringMatching(/^Name a kernel of this machine/),
    });
  });
});
