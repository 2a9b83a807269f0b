import { createHash } from 'node:crypto';
import type { GuestRam } from '../memory/guest-ram.ts';
import { PAGE_BYTES } from '../memory/tweak.ts';
import type { LaunchContent } from './launch-content.ts';
import { guid } from './ovmf-table.ts';

const SECRET_TABLE = guid('1e74f542-71dd-4d66-963e-ef4287ff173b');
const TABLE_HEADER_BYTES = 20;
const PRIVATE_AT = 0x0100_0000;
const PRIVATE_PAGES = 8;
const SHARED_AT = 0x0180_0000;
const SHARED_PAGES = 2;
/** Room for the pages above; a smaller guest stays silent. */
const NEEDED_BYTES = 0x0200_0000;

/**
 * The model guest: what it writes into its memory and prints on its serial port when it boots.
 *
 * `sevh.canary=<hex>` on its command line makes it fill private pages and shared ones, as the buffers of its virtio
 * devices are, with those bytes. A table of secrets, in the area that its firmware names or at
 * `sevh.secret=0x<address>`, is printed as digests only.
 */
export function bootGuest(ram: GuestRam, { cmdline, secretArea }: LaunchContent): string {
  if (ram.sizeBytes < NEEDED_BYTES) return '';
  return [...writeCanary(ram, cmdline), ...readSecrets(ram, secretPlace(cmdline) ?? secretArea?.base)]
    .map((line) => `${line}\r\n`)
    .join('');
}

function writeCanary(ram: GuestRam, cmdline: string): string[] {
  const token = /(?:^|\s)sevh\.canary=((?:[0-9a-f]{2})+)(?:\s|$)/.exec(cmdline)?.[1];
  if (token === undefined) return [];
  const page = Buffer.alloc(PAGE_BYTES, token, 'hex');
  if (ram.asid !== undefined) ram.setShared(SHARED_AT, SHARED_PAGES * PAGE_BYTES, true);
  for (let index = 0; index < PRIVATE_PAGES; index++) ram.write(PRIVATE_AT + index * PAGE_BYTES, page);
  for (let index = 0; index < SHARED_PAGES; index++) ram.write(SHARED_AT + index * PAGE_BYTES, page);
  const place = (at: number, pages: number) => `0x${at.toString(16)}+0x${(pages * PAGE_BYTES).toString(16)}`;
  return [`SEVH-CANARY private=${place(PRIVATE_AT, PRIVATE_PAGES)} shared=${place(SHARED_AT, SHARED_PAGES)}`];
}

function secretPlace(cmdline: string): number | undefined {
  const given = /(?:^|\s)sevh\.secret=0x([0-9a-f]+)(?:\s|$)/.exec(cmdline)?.[1];
  return given === undefined ? undefined : Number.parseInt(given, 16);
}

function readSecrets(ram: GuestRam, base: number | undefined): string[] {
  if (!base || ram.asid === undefined) return [];
  const header = Buffer.from(ram.read(base, TABLE_HEADER_BYTES));
  const length = header.readUInt32LE(16);
  if (!header.subarray(0, 16).equals(SECRET_TABLE) || length > 16 * 1024) return [];
  const table = Buffer.from(ram.read(base, length));
  const lines: string[] = [];
  for (let at = TABLE_HEADER_BYTES; at + TABLE_HEADER_BYTES <= length; ) {
    const size = table.readUInt32LE(at + 16);
    if (size < TABLE_HEADER_BYTES || at + size > length) break;
    const data = table.subarray(at + TABLE_HEADER_BYTES, at + size);
    lines.push(`SEVH-SECRET ${formatGuid(table.subarray(at, at + 16))} sha256=${sha256Hex(data)}`);
    at += size;
  }
  return lines;
}

function formatGuid(bytes: Uint8Array): string {
  const hex = guid(Buffer.from(bytes).toString('hex')).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
