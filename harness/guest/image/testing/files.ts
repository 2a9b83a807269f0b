/** Files that a guest image is made of, as small as they can be. */

const VERSION_AT = 0x3000;

/** The part of a bzImage that the builder reads: lengths, magic, and the place of the version text. */
export function testKernel(version: string): Buffer {
  const image = Buffer.alloc(0x4000, 0);
  image[0x1f1] = 1;
  image.writeUInt32LE((image.length - 2 * 512) / 16, 0x1f4);
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt16LE(VERSION_AT - 0x200, 0x20e);
  image.write(
    `${version} (builder@example) #1 SMP`.slice(version === '' ? version.length + 32 : 0),
    VERSION_AT,
    'latin1',
  );
  return image;
}

/** A module whose only contents are what it depends on. */
export function testModule(depends: string, name = 'm'): Buffer {
  return Buffer.from(`\x7fELF\0license=GPL\0depends=${depends}\0name=${name}\0`, 'latin1');
}
