/** Bytes behind the table: the reset vector of the image. */
const TAIL_BYTES = 32;
/** Length and GUID, which end each entry and the table itself. */
const TRAILER_BYTES = 18;

/** GUIDs of OVMF's table in the byte order of the image (OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm). */
export const OVMF_GUID = {
  footer: guid('96b582de-1fb2-45f7-baea-a366c55a082d'),
  hashes: guid('7255371f-3a3b-4b04-927b-1da6efa8d454'),
  secret: guid('4c2eb361-7d9b-4cc3-8081-127c90d3d294'),
  reset: guid('00f771de-1a7e-4fcb-890e-68c77e2fb44e'),
} as const;

export interface FirmwareArea {
  readonly base: number;
  readonly size: number;
}

/** What QEMU reads from the end of a flash image; an entry that is not there is absent, one of zeros is not. */
export interface FirmwareTable {
  readonly hashes?: FirmwareArea;
  readonly secret?: FirmwareArea;
  readonly resetEip?: number;
}

/** A GUID as UEFI stores it: the first three fields little-endian. */
export function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

/** QEMU's walk from the end (hw/i386/pc_sysfw_ovmf.c): an image without a table has no entries. */
export function readFirmwareTable(image: Uint8Array): FirmwareTable {
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  const end = bytes.length - TAIL_BYTES;
  if (end < TRAILER_BYTES || !bytes.subarray(end - 16, end).equals(OVMF_GUID.footer)) return {};
  const start = end - bytes.readUInt16LE(end - TRAILER_BYTES);
  const found = new Map<string, Buffer>();
  let at = end - TRAILER_BYTES;
  while (start >= 0 && at - TRAILER_BYTES >= start) {
    const length = bytes.readUInt16LE(at - TRAILER_BYTES);
    if (length < TRAILER_BYTES || at - length < start) break;
    found.set(bytes.toString('hex', at - 16, at), bytes.subarray(at - length, at - TRAILER_BYTES));
    at -= length;
  }
  const hashes = areaOf(found.get(OVMF_GUID.hashes.toString('hex')));
  const secret = areaOf(found.get(OVMF_GUID.secret.toString('hex')));
  const reset = found.get(OVMF_GUID.reset.toString('hex'));
  return {
    ...(hashes ? { hashes } : {}),
    ...(secret ? { secret } : {}),
    ...(reset && reset.length >= 4 ? { resetEip: reset.readUInt32LE(0) } : {}),
  };
}

function areaOf(data: Buffer | undefined): FirmwareArea | undefined {
  return data && data.length >= 8 ? { base: data.readUInt32LE(0), size: data.readUInt32LE(4) } : undefined;
}
