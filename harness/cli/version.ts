import { readFileSync } from 'node:fs';
import path from 'node:path';

/** Version of the installed package; the compiled program and the source stand at different depths below it. */
export function harnessVersion(): string {
  const manifest = ['../../package.json', '../../../package.json']
    .map((file) => path.resolve(import.meta.dirname, file))
    .find((file) => {
      try {
        return JSON.parse(readFileSync(file, 'utf8')).name === 'sev-harness';
      } catch {
        return false;
      }
    });
  return manifest === undefined ? 'unknown' : JSON.parse(readFileSync(manifest, 'utf8')).version;
}
