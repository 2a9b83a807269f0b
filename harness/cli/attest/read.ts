import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { fromBase64 } from '../../../core/bytes.ts';
import { errorText, isSevHarnessError, SevHarnessError } from '../../../core/errors.ts';
import { harnessError } from '../../errors.ts';
import { clip } from './flags.ts';

/** How a file was taken, which the verdict says. */
export interface InputNote {
  readonly flag: string;
  readonly path: string;
  readonly form: 'binary' | 'base64';
  /** Length after decoding. */
  readonly bytes: number;
}

/** Longer files are no certificates, sessions or keys. */
const MAX_SMALL_BYTES = 1 << 20;
const MAX_IMAGE_BYTES = 1 << 30;
const CHUNK_BYTES = 1 << 16;

/** Reads files for flags, and remembers how each was taken. */
export class InputReader {
  readonly notes: InputNote[] = [];

  /** A guest firmware, kernel, initrd or VMSA page: always binary. Throws `ATTEST_INPUT_UNREADABLE`. */
  image(flag: string, path: string): Uint8Array {
    const bytes = readLimited(flag, path, MAX_IMAGE_BYTES);
    this.notes.push({ flag, path, form: 'binary', bytes: bytes.length });
    return bytes;
  }

  /**
   * Binary, or one line of strict base64 as libvirt and QEMU hand it out.
   *
   * A file that consists of base64 characters is base64, whatever its length: three certificates in base64 are as long as
   * four in binary, and every binary form has bytes that are no such characters. Throws `ATTEST_INPUT_UNREADABLE`,
   * `ATTEST_INPUT_BASE64`.
   */
  either(flag: string, path: string): Uint8Array {
    const raw = readLimited(flag, path, MAX_SMALL_BYTES);
    const text = base64Text(raw);
    const bytes = text === undefined ? raw : decode(flag, path, text);
    this.notes.push({ flag, path, form: text === undefined ? 'binary' : 'base64', bytes: bytes.length });
    return bytes;
  }

  /** A key file: binary of one of the `lengths`, or base64 of such; anything else as it is, for the parser to refuse. */
  key(flag: string, path: string, lengths: readonly number[]): Uint8Array {
    const raw = readLimited(flag, path, MAX_SMALL_BYTES);
    const decoded = lengths.includes(raw.length) ? undefined : fromBase64(base64Text(raw) ?? '*');
    this.notes.push({ flag, path, form: decoded === undefined ? 'binary' : 'base64', bytes: (decoded ?? raw).length });
    return decoded ?? raw;
  }

  /** A secret: its bytes as they are, whatever they look like. */
  secret(flag: string, path: string): Uint8Array {
    return readLimited(flag, path, MAX_SMALL_BYTES);
  }
}

/** Runs a parser, and says in its error which flag and file it was about. */
export function naming<T>(flag: string, path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!isSevHarnessError(error)) throw error;
    const { code, kind, message, details, hint, cause } = error;
    throw new SevHarnessError(code, kind, `${flag} ${path}: ${message}`, {
      details,
      cause,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/** The text without its line end, when every byte is a base64 character or a line end. */
function base64Text(raw: Uint8Array): string | undefined {
  const text = Buffer.from(raw).toString('latin1');
  return /^[A-Za-z0-9+/=\r\n]{4,}$/.test(text) ? text.replace(/\r?\n$/, '') : undefined;
}

function decode(flag: string, path: string, text: string): Uint8Array {
  const bytes = fromBase64(text);
  if (bytes !== undefined) return bytes;
  const why = /[\r\n]/.test(text) ? 'it is spread over several lines' : 'its padding is wrong';
  throw harnessError('ATTEST_INPUT_BASE64', `${flag} ${path}: expected one line of strict base64, but ${why}`, {
    hint: 'Take the text from libvirt or QEMU as it is; `base64 -w0` writes one line.',
  });
}

function readLimited(flag: string, path: string, maxBytes: number): Uint8Array {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, 'r');
    const status = fstatSync(descriptor);
    if (status.isDirectory()) throw new Error('it is a folder');
    const parts: Buffer[] = [];
    let total = 0;
    for (;;) {
      const part = Buffer.allocUnsafe(
        status.isFile() && total === 0 ? Math.min(status.size, maxBytes) + 1 : CHUNK_BYTES,
      );
      const length = readSync(descriptor, part);
      if (length === 0) break;
      parts.push(part.subarray(0, length));
      total += length;
      if (total > maxBytes) throw new Error(`it is longer than ${maxBytes} bytes`);
    }
    const [only] = parts;
    return new Uint8Array(parts.length === 1 && only !== undefined ? only : Buffer.concat(parts));
  } catch (error) {
    throw harnessError('ATTEST_INPUT_UNREADABLE', `${flag}: cannot read ${clip(path)}: ${systemText(error)}`, {
      cause: error,
    });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** `ENOENT: no such file or directory`, without the call and the path that Node puts behind it. */
export function systemText(error: unknown): string {
  return errorText(error).replace(/, \w+( '.*')?$/s, '');
}
