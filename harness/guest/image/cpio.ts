import { concatBytes } from '../../../core/bytes.ts';

/** One entry of an archive. Folders stand before what is in them. */
export type CpioEntry =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly content: Uint8Array; readonly executable?: boolean }
  | { readonly kind: 'device'; readonly path: string; readonly major: number; readonly minor: number };

const MAGIC = '070701';
const ALIGNMENT = 4;
const TYPE = { folder: 0o040000, file: 0o100000, device: 0o020000 } as const;
const TRAILER = 'TRAILER!!!';

/**
 * An archive in the `newc` format that Linux unpacks as initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
 *
 * Owner is root and time is 0, whoever builds it and when: the same entries give the same bytes.
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts = entries.flatMap((entry, index) => record(entry.path, index + 1, fieldsOf(entry)));
  return concatBytes(...parts, ...record(TRAILER, 0, { mode: 0, links: 1 }));
}

interface Fields {
  readonly mode: number;
  readonly links: number;
  readonly content?: Uint8Array;
  readonly device?: readonly [major: number, minor: number];
}

function fieldsOf(entry: CpioEntry): Fields {
  switch (entry.kind) {
    case 'folder':
      return { mode: TYPE.folder | 0o755, links: 2 };
    case 'file':
      return { mode: TYPE.file | (entry.executable ? 0o755 : 0o644), links: 1, content: entry.content };
    case 'device':
      return { mode: TYPE.device | 0o600, links: 1, device: [entry.major, entry.minor] };
  }
}

function record(path: string, inode: number, { mode, links, content, device }: Fields): Uint8Array[] {
  const name = new TextEncoder().encode(`${path}\0`);
  const body = content ?? new Uint8Array();
  const [major, minor] = device ?? [0, 0];
  // inode, mode, uid, gid, links, mtime, size, device of the file system (2), device (2), length of the name, checksum
  const numbers = [inode, mode, 0, 0, links, 0, body.length, 0, 0, major, minor, name.length, 0];
  const header = MAGIC + numbers.map((number) => number.toString(16).padStart(8, '0')).join('');
  return [aligned(concatBytes(new TextEncoder().encode(header), name)), aligned(body)];
}

function aligned(bytes: Uint8Array): Uint8Array {
  const padding = (ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT;
  return padding === 0 ? bytes : concatBytes(bytes, new Uint8Array(padding));
}
