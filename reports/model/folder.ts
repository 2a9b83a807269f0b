import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { isSystemError } from '../../core/errors.ts';

/** Makes a folder and those above it. Node's own `recursive` never returns below `/proc`, where nothing can be made. */
export function makeFolder(path: string, mode = 0o777): void {
  if (!existsSync(dirname(path))) makeFolder(dirname(path), mode);
  try {
    mkdirSync(path, mode);
  } catch (error) {
    // Several may make the same folder at once.
    if (!isSystemError(error, 'EEXIST') || !statSync(path).isDirectory()) throw error;
  }
}
