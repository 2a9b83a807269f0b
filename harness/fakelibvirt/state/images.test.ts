import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { builtinFirmware } from '../qemu/builtin-firmware.ts';
import { ImageFiles } from './images.ts';

let folder: string;
let file: string;
const installed = Buffer.from('what this machine has');
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sevh-images-'));
  file = path.join(folder, 'OVMF.fd');
  await writeFile(file, installed);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('the image that a guest names', () => {
  it('is that of this machine, and built in where this machine has none', async () => {
    expect(Buffer.from(new ImageFiles().firmware(file)).equals(installed)).toBe(true);
    await rm(file);
    expect(new ImageFiles().firmware(file)).toEqual(builtinFirmware(file));
  });

  it('is built in whatever this machine has, when it shall not matter', () => {
    expect(new ImageFiles({ isBuiltInOnly: true }).firmware(file)).toEqual(builtinFirmware(file));
  });

  it('is that of the given folder before all others', () => {
    for (const isBuiltInOnly of [false, true]) {
      const images = new ImageFiles({ folder, isBuiltInOnly });
      expect(Buffer.from(images.firmware('/usr/share/OVMF/OVMF.fd')).equals(installed)).toBe(true);
    }
  });
});
