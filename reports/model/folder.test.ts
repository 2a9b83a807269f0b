import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeFolder } from './folder.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sevh-folder-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('makes a folder and those above it, each with the mode that was asked for', () => {
  makeFolder(join(root, 'a/b/c'), 0o700);
  for (const made of ['a', 'a/b', 'a/b/c']) expect(statSync(join(root, made)).mode & 0o777, made).toBe(0o700);
});

it('leaves a folder that is there as it is', () => {
  makeFolder(join(root, 'a'), 0o700);
  makeFolder(join(root, 'a'), 0o755);
  expect(statSync(join(root, 'a')).mode & 0o777).toBe(0o700);
});

it.each(['file', 'file/below', '/proc/sevh/below'])('does not go on for ever where there can be none: %s', (path) => {
  writeFileSync(join(root, 'file'), '');
  const target = path.startsWith('/') ? path : join(root, path);
  expect(() => makeFolder(target)).toThrow(/^(EEXIST|ENOTDIR|ENOENT)/);
});
