import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-nightly-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function nightly(...words: string[]) {
  const zx = path.join(root, 'node_modules/.bin/zx');
  const env = { NO_COLOR: '1', SEV_HARNESS_HOST: '', GITHUB_STEP_SUMMARY: path.join(folder, 'summary.md') };
  return execa(zx, ['ci/nightly.mjs', ...words], { cwd: root, reject: false, env });
}

it('leaves a report that says why when the host cannot be reached, and ends with 2', async () => {
  const report = path.join(folder, 'report');
  const uri = `qemu+unix:///system?socket=${path.join(folder, 'none.sock')}`;
  const { exitCode } = await nightly('--host', uri, '--report', report);
  expect(exitCode).toBe(2);
  expect(readFileSync(path.join(report, 'junit.xml'), 'utf8')).toMatch(
    /<error message="cannot connect to .*none\.sock/,
  );
  expect(existsSync(path.join(report, 'index.html'))).toBe(true);
  expect(readFileSync(path.join(folder, 'summary.md'), 'utf8')).toContain('What to do: ');
});

it.each([
  [[], ", not ''"],
  [['--host', ''], ", not ''"],
  [['--host', 'fake:naples'], ", not 'fake:naples'"],
  [['--host'], ''],
])('refuses %j: only a real host counts', async (words, given) => {
  const { exitCode, stderr } = await nightly(...words);
  expect(exitCode).toBe(3);
  expect(stderr.trim()).toBe(`error: nightly needs a real host${given}: give --host URI, for example qemu:///system`);
});
