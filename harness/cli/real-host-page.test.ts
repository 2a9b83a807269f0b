import { readFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const main = path.join(root, 'dist/harness/cli/main.js');
const table = readFileSync(path.join(root, 'docs/real-host.md'), 'utf8').split('## When something is wrong')[1] ?? '';
const rows = table.split('\n').filter((line) => line.startsWith('| '));

it.each([
  ['is not there', '/nonexistent'],
  ['is a folder', '/tmp'],
  ['is no kernel', main],
])('a --kernel that %s ends a run as docs/real-host.md says', async (_what, kernel) => {
  const words = ['scenario', 'slot-limit', '--kernel', kernel];
  const env = { SEV_HARNESS_REBUILT: '1', NO_COLOR: '1' };
  const { exitCode, stderr } = await execa(process.execPath, [main, ...words], { reject: false, env });
  const code = /\[([A-Z_]+)\]$/m.exec(stderr)?.[1];
  const row = rows.find((line) => line.includes(`\`${code}\``));
  expect(row, stderr).toMatch(new RegExp(`\\| ${exitCode} \\|$`));
});

it('each code in that table ends with the exit code of its kind', () => {
  const kinds = new Map(
    [...readFileSync(path.join(root, 'docs/errors.md'), 'utf8').matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(
      ([, code, kind]) => [code, kind],
    ),
  );
  const exits: Readonly<Record<string, string>> = { product: '1', environment: '2', harness: '2', usage: '3' };
  const codes = rows.flatMap((row) => [...row.matchAll(/`([A-Z]+_[A-Z_]+)`/g)].map(([, code]) => [code, row] as const));
  expect(codes.length).toBeGreaterThan(5);
  for (const [code, row] of codes) expect(row).toMatch(new RegExp(`\\| ${exits[kinds.get(code) ?? '']} \\|$`));
});
