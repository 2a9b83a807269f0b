import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { forgeCase } from './testing/forged-case.ts';

/** The compiled program, as users run it. `npm test` builds first. */
const main = path.resolve(import.meta.dirname, '../../../dist/harness/cli/main.cjs');
let folder: string;

beforeAll(() => {
  if (!existsSync(main)) throw new Error('dist/ is missing: run npm run build');
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-attest-process-'));
  forgeCase(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function attest(words: readonly string[]) {
  const result = await execa(process.execPath, [main, 'attest', ...words], {
    reject: false,
    cwd: folder,
    env: { NO_COLOR: '1', XDG_CACHE_HOME: path.join(folder, 'cache') },
  });
  return { code: result.exitCode, stdout: result.stdout, stderr: result.stderr };
}

describe('standard output', () => {
  it('that nobody reads to its end is no error', async () => {
    const { exitCode, stderr } = await execa(
      'bash',
      ['-c', 'set -o pipefail; "$0" "$1" attest policy 0x33 | true', process.execPath, main],
      { reject: false },
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  });

  it.runIf(existsSync('/dev/full'))('that is full is one line and exit code 2, never a verdict', async () => {
    const { exitCode, stderr } = await execa(
      'sh',
      ['-c', '"$0" "$1" attest policy 3 >/dev/full', process.execPath, main],
      {
        reject: false,
      },
    );
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^error: standard output cannot be written: ENOSPC.* \[OUTPUT_UNWRITABLE\]\n {2}hint: .*$/);
  });
});

describe('bad input is one clear line and the right exit code', () => {
  it.each<[string, string[], number, RegExp]>([
    ['an unknown verb', ['verfiy'], 3, /unknown verb 'attest verfiy'/],
    ['an unknown flag', ['verify', '--frimware', 'x'], 3, /unknown option '--frimware'/],
    ['a number that is none', ['verify', '--measurement', 'x', '--build-id', 'many'], 3, /--build-id: .*'many'/],
    ['a file that is not there', ['digest', '--firmware', 'nowhere.fd'], 3, /cannot read nowhere\.fd: ENOENT/],
    ['a file that is no certificate', ['chain', '--pdh', 'OVMF.fd'], 1, /--pdh OVMF\.fd: SEV certificate/],
    [
      'a platform that does not verify',
      ['session', '--pdh', 'pdh.b64', '--policy', '1', '--name', 'x', '--out', 'k'],
      1,
      /no session for an unverified platform/,
    ],
    [
      'a libvirt that is not there',
      ['verify', '--connect', 'qemu+unix:///system?socket=/nonexistent', '--domain', 'x'],
      2,
      /nonexistent/,
    ],
    ['a libvirt URI of another driver', ['verify', '--connect', 'xen:///', '--domain', 'x'], 3, /xen/],
    [
      'a folder that cannot be made',
      ['session', '--insecure', '--pdh', 'pdh.b64', '--policy', '1', '--name', 'x', '--out', 'OVMF.fd/deep'],
      2,
      /cannot write OVMF\.fd\/deep/,
    ],
  ])('%s', async (_, words, expected, text) => {
    const { code, stdout, stderr } = await attest(words);
    const [first = ''] = stderr.split('\n');
    expect(first).toMatch(/^error: /);
    expect(first).toMatch(text);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stderr.split('\n').length).toBeLessThanOrEqual(2);
    expect(code).toBe(expected);
    expect(stdout).toBe('');
  });
});

it('prints a verdict and exits with 0 for a valid chain, 1 for an incomplete one', async () => {
  const words = ['chain', '--chain', 'chain.b64', '--pdh', 'pdh.b64', '--ask-ark', 'ask_ark.cert'];
  const trusted = ['--trusted-root', 'root.cert'];
  expect(await attest([...words, ...trusted, '--cek', 'cek.cert'])).toMatchObject({ code: 0, stderr: '' });
  const incomplete = await attest([...words, ...trusted]);
  expect(incomplete.code).toBe(1);
  expect(incomplete.stdout).toContain('INCOMPLETE');
});

it('is listed among the verbs of the program', async () => {
  const { stdout } = await execa(process.execPath, [main, '--help']);
  expect(stdout).toMatch(/^\s+attest /m);
});
