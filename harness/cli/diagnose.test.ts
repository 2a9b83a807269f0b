import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** The compiled program, as users run it. `npm test` builds first. */
const main = path.resolve(import.meta.dirname, '../../dist/harness/cli/main.js');
const FULL = "qemu-system-x86_64: -accel kvm: sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''\n";
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-diagnose-'));
  writeFileSync(path.join(folder, 'qemu.log'), FULL);
  writeFileSync(path.join(folder, 'other.log'), 'something failed\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function diagnose(words: readonly string[], input = '') {
  const env = { NO_COLOR: '1', SEV_HARNESS_REBUILT: '1' };
  const { exitCode, stdout, stderr } = await execa(process.execPath, [main, 'diagnose', ...words], {
    ...{ reject: false, cwd: folder, env, input },
  });
  return { exitCode, stdout, stderr };
}

describe('diagnose', () => {
  it('names the cause in a file, with its place', async () => {
    const { exitCode, stdout } = await diagnose(['qemu.log']);
    expect(stdout).toMatch(/^1 cause found/);
    expect(stdout).toContain('qemu.log:1: ');
    expect(exitCode).toBe(0);
  });

  it('reads standard input when no file is named, and several files with it', async () => {
    expect((await diagnose([], FULL)).stdout).toContain('standard input:1: ');
    const { stdout } = await diagnose(['other.log', '-'], FULL);
    expect(stdout).toContain('standard input:1: ');
    expect(stdout).toContain('other.log:1: something failed');
  });

  it('prints the diagnosis as JSON', async () => {
    const { stdout } = await diagnose(['--json', 'qemu.log', '--qemu', '7.2.0']);
    expect(JSON.parse(stdout)).toMatchObject({
      tableVersion: expect.any(Number),
      versions: { qemu: [7, 2, 0] },
      findings: [{ id: 'no-free-slot', kind: 'cause', confidence: 'likely', evidence: 'qemu.log', line: 1 }],
      unknown: [],
    });
  });

  it('prints the JSON that docs/diagnosis.md describes', async () => {
    const text = `LAUNCH_START ret=1 fw_error=4 'x'\nstarting up libvirt version: 9.0.0,\n${FULL}what failed\n`;
    const printed = JSON.parse((await diagnose(['--json'], text)).stdout);
    expect(Object.keys(printed)).toEqual(['tableVersion', 'versions', 'findings', 'unknown', 'unknownCount']);
    const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/diagnosis.md'), 'utf8');
    const keys = [...printed.findings, ...printed.unknown].flatMap(Object.keys);
    expect(keys).toEqual(expect.arrayContaining(['caution', 'isFromEarlierStart', 'writtenBy', 'refusal']));
    for (const key of new Set(keys)) expect(page).toContain(`\`${key}\``);
  });

  it('ends with 1 when something failed in unknown words, and with 0 when nothing did', async () => {
    expect((await diagnose(['other.log'])).exitCode).toBe(1);
    expect((await diagnose([], 'guest1 started\n')).exitCode).toBe(0);
  });

  it('says that a log is empty, and calls no empty log a healthy one', async () => {
    writeFileSync(path.join(folder, 'empty.log'), ' \n');
    for (const words of [['empty.log'], ['--json', 'empty.log'], []]) {
      const { exitCode, stdout, stderr } = await diagnose(words);
      expect(stderr).toMatch(
        /^error: nothing to judge: (empty\.log|standard input) is empty \[INPUT_EMPTY\]\n {2}hint: /,
      );
      expect([exitCode, stdout]).toEqual([2, '']);
    }
    const { exitCode, stdout, stderr } = await diagnose(['empty.log', 'qemu.log']);
    expect(stderr).toContain('empty.log is empty');
    expect(stdout).toMatch(/^1 cause found/);
    expect(exitCode).toBe(0);
  });

  it.each([
    [['nope.log'], /cannot read nope\.log: ENOENT: no such file or directory \[INPUT_UNREADABLE\]/],
    [['qemu.log', '--qemu', 'new'], /--qemu: 'new' is not a version \[CLI_USAGE\]/],
    [['--hots'], /unknown option/],
  ])('answers %j with one clear line and exit code 3', async (words, line) => {
    const { exitCode, stderr, stdout } = await diagnose(words);
    expect(stderr.split('\n')[0]).toMatch(line);
    expect([exitCode, stdout]).toEqual([3, '']);
  });

  it.each([
    ['gz', '1f8b0800', /it is compressed/, /zcat old.gz/],
    ['1 $x.gz', '1f8b0800', /it is compressed/, /zcat 'old\.1 \$x\.gz' \|/],
    ['xz', 'fd377a585a00', /it is compressed/, /xzcat old.xz/],
    ['zst', '28b52ffd04', /it is compressed/, /zstdcat old.zst/],
    ['bin', '7f454c4602010100000000000000', /it is no text/, /NAME\.log/],
  ])('says that a .%s file is no log, and what to do', async (ending, hex, line, hint) => {
    writeFileSync(path.join(folder, `old.${ending}`), Buffer.from(hex, 'hex'));
    const { exitCode, stderr, stdout } = await diagnose([`old.${ending}`]);
    expect(stderr.split('\n')[0]).toMatch(line);
    expect(stderr).toMatch(hint);
    expect([exitCode, stdout]).toEqual([3, '']);
  });

  it('reads a log with NUL bytes of a crash, and one of a hundred megabytes', async () => {
    writeFileSync(path.join(folder, 'crash.log'), `${'started\n'.repeat(50)}\0\0\0\0\n${FULL}`);
    expect((await diagnose(['crash.log'])).stdout).toMatch(/^1 cause found/);
    const line = `${'x'.repeat((1 << 20) - 1)}\n`;
    writeFileSync(path.join(folder, 'huge.log'), `${line.repeat(100)}${FULL}`);
    const { stdout, exitCode } = await diagnose(['huge.log']);
    expect(stdout).toContain('huge.log:101: ');
    expect(exitCode).toBe(0);
  });

  it('shows examples', async () => {
    expect((await diagnose(['--help'])).stdout).toContain('Examples:');
  });
});
