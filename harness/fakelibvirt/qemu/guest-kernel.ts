import { createHash } from 'node:crypto';
import type { GuestRam } from '../memory/guest-ram.ts';
import { PAGE_BYTES } from '../memory/tweak.ts';
import type { ModelWorkloads } from './guest-workload.ts';
import type { LaunchContent } from './launch-content.ts';
import { guid } from './ovmf-table.ts';

const SECRET_TABLE = guid('1e74f542-71dd-4d66-963e-ef4287ff173b');
const TABLE_HEADER_BYTES = 20;
const PRIVATE_AT = 0x0090_0000;
const PRIVATE_PAGES = 8;
const SHARED_AT = 0x00a0_0000;
const SHARED_PAGES = 2;
const EQUAL_AT = 0x00a1_0000;
const EQUAL_PAGES_MAX = 1024;
/** Room for the pages above; a smaller guest stays silent. */
const NEEDED_BYTES = 0x0100_0000;
/** Bits of MSR 0xC0010131 (AMD APM volume 2, section 15.34.10). */
const SEV_STATUS = { sev: 1, es: 2 } as const;

/**
 * The model guest: what it writes into its memory and prints on its serial port when it boots, in the lines that the
 * agent of the real guest image prints (docs/guest-image.md).
 *
 * `sevh.canary=<hex>` on its command line makes it fill private pages and shared ones, as the buffers of its virtio
 * devices are, with those bytes. A table of secrets is printed as digests only; it is found in the area that the guest
 * firmware names and nowhere else, because a kernel takes any other memory for its own.
 */
export function bootGuest(ram: GuestRam, content: LaunchContent, workloads: ModelWorkloads): string {
  if (ram.sizeBytes < NEEDED_BYTES) return '';
  const isEncrypted = ram.asid !== undefined;
  const status = (isEncrypted ? SEV_STATUS.sev : 0) | (content.vmsas.length > 0 ? SEV_STATUS.es : 0);
  const features = ['SEV', ...(content.vmsas.length > 0 ? ['SEV-ES'] : [])].join(' ');
  return [
    line('ready', {
      kernel: 'emulated',
      memoryKiB: ram.sizeBytes / 1024,
      efi: content.flash !== undefined,
      uptimeMs: 0,
      modules: [],
    }),
    line('cpu', {
      vendor: 'AuthenticAMD',
      encryptionLeaf: null,
      sevStatus: `0x${status.toString(16)}`,
      because: 'the emulated guest executes no CPUID',
    }),
    line('encryption', { line: isEncrypted ? `Memory Encryption Features active: AMD ${features}` : null }),
    ...readSecrets(ram, content.secretArea?.base),
    ...writeCanary(ram, content.cmdline),
    ...writeEqualPages(ram, parameter(content.cmdline, 'equal-pages')),
    ...(parameter(content.cmdline, 'workload')?.split(',') ?? []).map((name) =>
      workload(workloads, name, parameter(content.cmdline, 'rounds')),
    ),
    ...(endsWhenDone(content.cmdline) ? [] : [line('idle', {})]),
  ]
    .map((text) => `${text}\r\n`)
    .join('');
}

/** What a line that is typed on the console is answered with. */
export function answerLine(workloads: ModelWorkloads, typed: string): string {
  const [, name, rounds] = /^workload (\S+)(?: (\d+))?$/.exec(typed.trim()) ?? [];
  return name === undefined ? '' : `${workload(workloads, name, rounds)}\r\n`;
}

/** Whether a guest that was booted with this command line powers itself off instead of waiting for more. */
export function endsWhenDone(cmdline: string): boolean {
  return parameter(cmdline, 'power-off') === 'idle';
}

export type PowerOffCause = 'command line' | 'console' | 'power button';

export function powerOffLine(because: PowerOffCause): string {
  return `${line('power-off', { because })}\r\n`;
}

function workload(workloads: ModelWorkloads, name: string, rounds: string | undefined): string {
  const { event, ...fields } = workloads.run(name, rounds === undefined ? undefined : Number(rounds));
  return line(event, fields);
}

/** The value of `sevh.<name>` on the command line. */
function parameter(cmdline: string, name: string): string | undefined {
  return cmdline
    .split(/\s+/)
    .find((word) => word.startsWith(`sevh.${name}=`))
    ?.slice(`sevh.${name}=`.length);
}

/** Pages that every guest with this seed has: made of the seed and their number alone. */
function writeEqualPages(ram: GuestRam, asked: string | undefined): string[] {
  const [, count, seed] = /^(\d+),(.*)$/.exec(asked ?? '') ?? [];
  if (count === undefined || seed === undefined) return [];
  const pages = Math.min(Number(count), EQUAL_PAGES_MAX);
  for (let index = 0; index < pages; index++) {
    const content = createHash('sha512').update(`${seed} ${index}`).digest();
    ram.write(EQUAL_AT + index * PAGE_BYTES, Buffer.alloc(PAGE_BYTES, content));
  }
  return [line('equal-pages', { pages, seed })];
}

function line(event: string, fields: object): string {
  return `SEVH ${JSON.stringify({ event, ...fields })}`;
}

function writeCanary(ram: GuestRam, cmdline: string): string[] {
  const token = /^(?:[0-9a-f]{2})+$/.exec(parameter(cmdline, 'canary') ?? '')?.[0];
  if (token === undefined) return [];
  const page = Buffer.alloc(PAGE_BYTES, token, 'hex');
  if (ram.asid !== undefined) ram.setShared(SHARED_AT, SHARED_PAGES * PAGE_BYTES, true);
  for (let index = 0; index < PRIVATE_PAGES; index++) ram.write(PRIVATE_AT + index * PAGE_BYTES, page);
  for (let index = 0; index < SHARED_PAGES; index++) ram.write(SHARED_AT + index * PAGE_BYTES, page);
  const run = (at: number, pages: number) => [`0x${at.toString(16)}+0x${(pages * PAGE_BYTES).toString(16)}`];
  return [
    line('canary-pages', { access: 'private', runs: run(PRIVATE_AT, PRIVATE_PAGES) }),
    line('canary-pages', { access: 'shared', runs: run(SHARED_AT, SHARED_PAGES) }),
    line('canary', {
      privateBytes: PRIVATE_PAGES * PAGE_BYTES,
      sharedBytes: SHARED_PAGES * PAGE_BYTES,
      because: null,
    }),
  ];
}

function readSecrets(ram: GuestRam, base: number | undefined): string[] {
  if (!base || ram.asid === undefined) {
    return [line('secrets', { count: 0, from: null, because: 'no place for secrets is known' })];
  }
  const entries = readTable(ram, base);
  return [...entries, line('secrets', { count: entries.length, from: 'memory', because: null })];
}

function readTable(ram: GuestRam, base: number): string[] {
  const header = Buffer.from(ram.read(base, TABLE_HEADER_BYTES));
  const length = header.readUInt32LE(16);
  if (!header.subarray(0, 16).equals(SECRET_TABLE) || length > 16 * 1024) return [];
  const table = Buffer.from(ram.read(base, length));
  const lines: string[] = [];
  for (let at = TABLE_HEADER_BYTES; at + TABLE_HEADER_BYTES <= length; ) {
    const size = table.readUInt32LE(at + 16);
    if (size < TABLE_HEADER_BYTES || at + size > length) break;
    const data = table.subarray(at + TABLE_HEADER_BYTES, at + size);
    lines.push(line('secret', { guid: formatGuid(table.subarray(at, at + 16)), sha256: sha256Hex(data) }));
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
