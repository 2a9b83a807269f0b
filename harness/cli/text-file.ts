import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { errorText } from '../../core/errors.ts';
import { harnessError } from '../errors.ts';

const CHUNK_BYTES = 1 << 16;
const STDIN = 0;

/** The bytes of a file, or of stdin for `-`. Throws `INPUT_UNREADABLE`, also above `maxBytes`. */
export function readInput(file: string, maxBytes: number): Uint8Array {
  const what = nameOf(file);
  try {
    const descriptor = file === '-' ? STDIN : openSync(file, 'r');
    try {
      if (fstatSync(descriptor).isDirectory()) throw new Error('it is a folder');
      return readAll(descriptor, maxBytes);
    } finally {
      if (descriptor !== STDIN) closeSync(descriptor);
    }
  } catch (error) {
    throw harnessError('INPUT_UNREADABLE', `cannot read ${what}: ${reason(error)}`, { cause: error });
  }
}

/** What messages call an input. */
export function nameOf(file: string): string {
  return file === '-' ? 'standard input' : file;
}

/**
 * Replaces a file at once: whoever looks sees the old text or the new one. Its mode stays, and so does a link to it.
 *
 * Throws `OUTPUT_UNWRITABLE`; the file is then as it was.
 */
export function replaceFile(file: string, text: string): void {
  let temporary: string | undefined;
  try {
    const target = realpathSync(file);
    temporary = path.join(path.dirname(target), `.${path.basename(target)}.${randomBytes(6).toString('hex')}.tmp`);
    const descriptor = openSync(temporary, 'wx', statSync(target).mode & 0o777);
    try {
      const bytes = Buffer.from(text);
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(descriptor, bytes, offset);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, target);
  } catch (error) {
    removeQuietly(temporary);
    throw harnessError('OUTPUT_UNWRITABLE', `cannot write ${file}: ${reason(error)}`, { cause: error });
  }
}

function readAll(descriptor: number, maxBytes: number): Uint8Array {
  const parts: Buffer[] = [];
  let total = 0;
  for (;;) {
    const part = Buffer.allocUnsafe(CHUNK_BYTES);
    const length = readChunk(descriptor, part);
    if (length === 0) return new Uint8Array(Buffer.concat(parts));
    parts.push(part.subarray(0, length));
    total += length;
    if (total > maxBytes) throw new Error(`it is longer than ${maxBytes} bytes`);
  }
}

/** A pipe on stdin may be empty for now, and some systems report its end as an error. */
function readChunk(descriptor: number, part: Buffer): number {
  for (;;) {
    try {
      return readSync(descriptor, part);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EOF') return 0;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

/** `ENOENT: no such file or directory`, without the call and the path that Node puts behind it. */
function reason(error: unknown): string {
  return errorText(error).replace(/, \w+( '.*')?$/, '');
}

function removeQuietly(file: string | undefined): void {
  if (file === undefined) return;
  try {
    unlinkSync(file);
  } catch {
    // It was never made.
  }
}
