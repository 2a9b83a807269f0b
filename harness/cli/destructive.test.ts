import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatChanges } from './destructive.ts';

const root = path.resolve(import.meta.dirname, '../..');
const main = path.join(root, 'dist/harness/cli/main.js');
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
/** `borrowKsm` asks for the flag in the scenario's place. */
const destructive = readdirSync(path.join(root, 'scenarios'))
  .filter((name) => /allowDestructive|borrowKsm/.test(read(`scenarios/${name}`)))
  .map((name) => name.replace('.scenario.ts', ''))
  .sort();

describe('what --allow-destructive allows', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'sevh-destructive-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is told for each scenario that asks for it, and for no other', () => {
    const named = [...formatChanges().matchAll(/^ {2}(\S+) /gm)].map(([, id]) => id);
    expect(named).toEqual(destructive);
    const ksm = '  ksm  switches kernel samepage merging (KSM) on for a while where it is off\n';
    expect(formatChanges(['slot-limit', 'ksm'])).toBe(ksm);
    expect(formatChanges(['slot-limit'])).toBe('');
  });

  it.each(['README.md', 'docs/real-host.md'])('is told by %s', (page) => {
    const text = read(page);
    const about = text.slice(text.indexOf('--allow-destructive'));
    for (const id of destructive) expect(about).toContain(`\`${id}\``);
  });

  it('is told by --help, and before a run begins', async () => {
    const run = (...words: string[]) =>
      execa(process.execPath, [main, 'scenario', ...words], {
        ...{ reject: false, cwd: folder },
        env: { SEV_HARNESS_REBUILT: '1', SEV_HARNESS_LEASES: folder, NO_COLOR: '1' },
      });
    expect((await run('--help')).stdout).toContain(formatChanges());
    const words = ['firmware-platform', '--host', 'fake:no-sev'];
    const note = `lets this run change fake:no-sev:\n${formatChanges(['firmware-platform'])}`;
    expect((await run(...words, '--allow-destructive')).stderr).toContain(note);
    expect((await run(...words)).stderr).not.toContain(note);
  });
});
