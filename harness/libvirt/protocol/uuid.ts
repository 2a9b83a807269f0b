import { fromHex } from '../../../core/bytes.ts';
import { libvirtError } from '../errors.ts';
import type { XdrReader } from '../xdr/reader.ts';
import type { XdrWriter } from '../xdr/writer.ts';

const UUID_BYTES = 16;

/** 16 bytes as `8-4-4-4-12` lowercase hex. */
export function readUuid(reader: XdrReader): string {
  const hex = reader.fixedHex(UUID_BYTES);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function writeUuid(writer: XdrWriter, uuid: string): void {
  const bytes = fromHex(uuid.replaceAll('-', ''));
  if (bytes?.length !== UUID_BYTES) throw libvirtError('XDR_UNENCODABLE', `cannot encode uuid '${uuid}'`);
  writer.fixedOpaque(bytes, UUID_BYTES);
}
