import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import path from 'node:path';
import { isSystemError } from '../../../core/errors.ts';
import * as folders from '../../../reports/model/folder.ts';
import { harnessError } from '../../errors.ts';
import { systemText } from './read.ts';

export interface OutputFile {
  readonly path: string;
  readonly content: Uint8Array | string;
  /** 0600, and nothing else, for secrets. */
  readonly mode: 0o600 | 0o644;
}

/**
 * Writes all files or none, each complete from the moment its name exists; the last in the list comes into being last.
 *
 * `replace` takes the place of files that are there; without it they are refused, also when they appear meanwhile.
 * Throws `ATTEST_OUTPUT_EXISTS`, `ATTEST_OUTPUT_UNWRITABLE`.
 */
export function writeFiles(files: readonly OutputFile[], options: { readonly replace: boolean }): void {
  const temporary: string[] = [];
  const made: string[] = [];
  try {
    for (const file of files) temporary.push(writeTemporary(file));
    for (const [index, file] of files.entries()) {
      const source = temporary[index] ?? '';
      if (options.replace) renameSync(source, file.path);
      else linkSync(source, file.path);
      made.push(file.path);
    }
    if (!options.replace) removeAll(temporary);
  } catch (error) {
    removeAll(temporary);
    if (!options.replace) removeAll(made);
    throw outputError(error, files[made.length]?.path ?? '');
  }
}

/** Makes a folder for private files where there is none. Throws `ATTEST_OUTPUT_UNWRITABLE`. */
export function makeFolder(folder: string): void {
  try {
    folders.makeFolder(folder, 0o700);
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) throw notAFolder(folder, error);
    throw outputError(error, folder);
  }
}

function notAFolder(folder: string, cause: unknown) {
  const text = `cannot write into ${folder}: it is a file, not a folder`;
  return harnessError('ATTEST_OUTPUT_UNWRITABLE', text, {
    cause,
    hint: 'Name a folder, or a path that is still free.',
  });
}

function writeTemporary({ path: target, content, mode }: OutputFile): string {
  const name = `.${path.basename(target)}.${randomBytes(6).toString('hex')}.tmp`;
  const temporary = path.join(path.dirname(target), name);
  const descriptor = openSync(temporary, 'wx', mode);
  try {
    const bytes = Buffer.from(content);
    for (let offset = 0; offset < bytes.length; ) offset += writeSync(descriptor, bytes, offset);
    fsyncSync(descriptor);
  } catch (error) {
    removeAll([temporary]);
    throw error;
  } finally {
    closeSync(descriptor);
  }
  return temporary;
}

function removeAll(paths: readonly string[]): void {
  for (const file of paths) {
    try {
      unlinkSync(file);
    } catch {
      // It was never made, or is gone already.
    }
  }
}

function outputError(error: unknown, target: string) {
  if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
    return harnessError('ATTEST_OUTPUT_EXISTS', `${target} exists already and is not overwritten`, {
      cause: error,
      hint: 'Choose another --name or --out, or move the file away yourself.',
    });
  }
  return harnessError('ATTEST_OUTPUT_UNWRITABLE', `cannot write ${target}: ${systemText(error)}`, { cause: error });
}
