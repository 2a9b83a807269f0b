import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  mergeChains,
  parseCertChain,
  parseChainFile,
  parseSevCertificate,
  verifyChain,
} from '../../attestation/index.ts';
import { startEmulatedHost } from '../fakelibvirt/index.ts';
import { connect } from '../libvirt/index.ts';

/** The compiled program, as users run it. `npm test` builds first. */
const main = path.resolve(import.meta.dirname, '../../dist/harness/cli/main.js');
let folder: string;

beforeAll(() => {
  if (!existsSync(main)) throw new Error('dist/ is missing: run npm run build');
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-cli-'));
  writeFileSync(path.join(folder, 'steers.txt'), '\u001b]0;title\u0007');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function harness(words: readonly string[], env: Record<string, string> = {}) {
  const result = await execa(process.execPath, [main, ...words], {
    reject: false,
    cwd: folder,
    env: { NO_COLOR: '1', ...env },
  });
  return { code: result.exitCode, stdout: result.stdout, stderr: result.stderr };
}

/** The first line says what is wrong; no stack anywhere. */
function expectOneClearLine(stderr: string, words: RegExp) {
  const [first = ''] = stderr.split('\n');
  expect(first).toMatch(/^error: /);
  expect(first).toMatch(words);
  expect(stderr).not.toMatch(/^\s+at /m);
}

describe('help', () => {
  const verbs = ['scenario', 'emulate', 'reap', 'faults', 'report', 'preflight', 'lint-domain', 'diagnose', 'attest'];

  it('in the overview names each verb', async () => {
    const { stdout } = await harness(['--help']);
    const named = [...stdout.matchAll(/^ {2}([a-z][a-z-]*) /gm)].map(([, verb]) => verb);
    expect(named.filter((verb) => verb !== 'help').sort()).toEqual([...verbs].sort());
  });

  it.each(verbs)('of %s shows examples and exit codes', async (verb) => {
    const { code, stdout } = await harness([verb, '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('Examples:');
    expect(stdout).toContain('Exit codes: 0 ');
  });

  it.each(['render', 'diff'])('of report %s shows exit codes', async (verb) => {
    expect((await harness(['report', verb, '--help'])).stdout).toContain('Exit codes: 0 ');
  });
});

describe('bad input is one clear line and the right exit code', () => {
  it.each<[string, string[], number, RegExp]>([
    ['an unknown verb', ['scenari'], 3, /unknown command 'scenari'/],
    ['an unknown scenario', ['scenario', 'slot-limt'], 3, /unknown scenario 'slot-limt'/],
    ['an unknown flag', ['scenario', '--hots', 'x'], 3, /unknown option '--hots'/],
    ['an unknown profile', ['scenario', '--host', 'fake:napels'], 3, /unknown emulated host 'fake:napels'/],
    ['an unknown host form', ['scenario', '--host', 'lab7'], 3, /'lab7' is not a host/],
    [
      'a driver that the client does not speak',
      ['scenario', '--host', 'xen:///system'],
      3,
      /'xen', only qemu is supported/,
    ],
    ['a limit that is no number', ['scenario', '--max-guests', 'many'], 3, /--max-guests.*many/],
    ['a negative limit', ['scenario', '--max-guests=-1'], 3, /--max-guests/],
    ['an unknown need', ['scenario', '--require', 'sve'], 3, /unknown need 'sve'/],
    ['an unknown fault', ['scenario', '--fault', 'nope'], 3, /unknown fault 'nope'/],
    [
      'a fault on a real host',
      ['scenario', '--host', 'qemu:///system', '--fault', 'slot-leak-on-kill'],
      3,
      /emulated hosts only/,
    ],
    [
      'a run that would steer the terminal',
      ['report', 'render', 'steers.txt'],
      3,
      /steers\.txt is not JSON: .*\\u\{1b\}/,
    ],
    ['a run that cannot be read', ['report', 'render', '/nonexistent/run.json'], 3, /\/nonexistent\/run.json/],
    ['an empty report folder', ['scenario', 'slot-limit', '--report', ''], 3, /--report <dir>.* It is empty/],
    ['an empty list of needs', ['scenario', 'slot-limit', '--require', ' '], 3, /--require <need,…>.* It is empty/],
    ['an empty socket', ['emulate', '--socket', ''], 3, /--socket <path>.* It is empty/],
    ['a folder where nothing can be made', ['emulate', '--certs', '/proc/x'], 2, /cannot write \/proc\/x: ENOENT/],
    ['a file in place of a folder', ['emulate', '--certs', main], 2, /main\.js: it is a file, not a folder/],
    ['an emulated host to reap', ['reap', '--host', 'fake:naples'], 3, /nothing to reap/],
    [
      'certificates of a host without SEV',
      ['emulate', '--profile', 'no-sev', '--certs', 'x'],
      3,
      /has no SEV, so no cert/,
    ],
    ['a profile of faults that only looks like one', ['faults', '--profile', 'toString'], 3, /unknown profile 'toStr/],
    [
      'a fault that the only profile cannot have',
      ['faults', '--fault', 'es-range-shared', '--profile', 'no-sev'],
      3,
      /no-sev: no such host can have es-range-shared/,
    ],
    ['an unknown profile to emulate', ['emulate', '--profile', 'zen9'], 3, /unknown profile 'zen9'/],
  ])('%s', async (_, words, expected, text) => {
    const { code, stdout, stderr } = await harness([
      ...words,
      ...(words[0] === 'scenario' && !words.includes('--report') ? ['--report', path.join(folder, 'bad')] : []),
    ]);
    expectOneClearLine(stderr, text);
    expect(code).toBe(expected);
    expect(stdout).toBe('');
  });

  it('an unreachable host', async () => {
    const socket = path.join(folder, 'none.sock');
    const uri = `qemu+unix:///system?socket=${socket}`;
    const { code, stderr } = await harness(['scenario', '--host', uri, '--report', path.join(folder, 'unreachable')]);
    const [first, second] = stderr.split('\n');
    expect(first).toMatch(/^ +ERROR LIBVIRT_CONNECT cannot connect to .*none\.sock: no such socket$/);
    expect(second).toMatch(/^ +HINT +Start the daemon/);
    expect(stderr.match(/cannot connect/g)?.length).toBe(1);
    expect(code).toBe(2);
  });

  it('a socket whose other side hangs up', async () => {
    const socket = path.join(folder, 'mute.sock');
    const server = createServer((peer) => peer.destroy()).listen(socket);
    try {
      const uri = `qemu+unix:///system?socket=${socket}`;
      const { code, stderr } = await harness(['scenario', '--host', uri, '--report', path.join(folder, 'mute')]);
      expect(stderr.split('\n')[0]).toMatch(/^ +ERROR LIBVIRT_CONNECT .*mute\.sock cut the connection/);
      expect(stderr.match(/cut the connection/g)?.length).toBe(1);
      expect(code).toBe(2);
    } finally {
      server.close();
    }
  });

  it('a report folder that cannot be made', async () => {
    const file = path.join(folder, 'a-file');
    writeFileSync(file, '');
    const { code, stderr } = await harness(['scenario', 'slot-limit', '--report', path.join(file, 'report')]);
    expectOneClearLine(stderr, /report folder .*a-file/);
    expect(code).toBe(2);
  });
});

describe('emulate', () => {
  it('prints its URI when clients can connect, and on SIGINT goes with its socket', async () => {
    const socket = path.join(folder, 'emulate.sock');
    const certs = path.join(folder, 'certs');
    const words = ['emulate', '--profile', 'milan', '--socket', socket, '--certs', certs];
    const child = execa(process.execPath, [main, ...words], { reject: false });
    const [line] = await once(child.stdout.setEncoding('utf8'), 'data');
    expect(line).toBe(`qemu+unix:///system?socket=${socket}\n`);
    const connection = await connect(String(line).trim());
    expect(await connection.hostname()).toContain('milan');
    const { pdh = '', certChain = '' } = await connection.sevInfo();
    const file = (name: string) => parseChainFile(readFileSync(path.join(certs, `${name}_emulated.cert`)));
    const roots = file('ask_ark');
    const own = parseCertChain(Buffer.from(certChain, 'base64'));
    const chain = mergeChains(own, { pdh: parseSevCertificate(Buffer.from(pdh, 'base64')) }, file('cek'), roots);
    expect(verifyChain(chain, roots.ark && { trustedRoot: roots.ark })).toMatchObject({
      ok: true,
      root: { isAmd: false },
    });
    await connection.close();
    child.kill('SIGINT');
    expect((await child).exitCode).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });
});

describe('scenario', () => {
  it('runs slot-limit on the emulated Naples host and writes the whole report', async () => {
    const report = path.join(folder, 'green');
    const { code, stdout, stderr } = await harness(['scenario', 'slot-limit', '--report', report]);
    expect(stderr).toContain('slot-limit');
    expect(code).toBe(0);
    expect(stdout).toBe('');
    const run = JSON.parse(readFileSync(path.join(report, 'run.json'), 'utf8'));
    expect(run).toMatchObject({ status: 'passed', exitCode: 0, hostFacts: { kind: 'emulated', profile: 'naples' } });
    for (const name of ['index.html', 'junit.xml', 'run.jsonl', 'artifacts'])
      expect(existsSync(path.join(report, name))).toBe(true);
  });

  it.each(['/proc/x', main])('says that reports cannot be rendered to %s', async (out) => {
    const { code, stdout, stderr } = await harness(['report', 'render', path.join(folder, 'green'), '--out', out]);
    expectOneClearLine(stderr, /^error: reports cannot be written to .* \[REPORT_FOLDER_UNWRITABLE\]$/);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  it('renders a finished run to the same bytes', async () => {
    const report = path.join(folder, 'green');
    const out = path.join(folder, 'again');
    for (const source of ['run.json', 'run.jsonl']) {
      expect((await harness(['report', 'render', path.join(report, source), '--out', out])).code).toBe(0);
      for (const name of ['index.html', 'junit.xml', 'run.json'])
        expect(readFileSync(path.join(out, name), 'utf8')).toBe(readFileSync(path.join(report, name), 'utf8'));
    }
  });

  it.each(['', 'run.json'])(
    'renders into the report folder when %j of it is given and no other folder',
    async (given) => {
      const report = mkdtempSync(path.join(folder, 'rendered-'));
      copyFileSync(path.join(folder, 'green', 'run.json'), path.join(report, 'run.json'));
      const { code, stdout } = await harness(['report', 'render', path.join(report, given)]);
      expect(code).toBe(0);
      expect(
        stdout
          .trim()
          .split('\n')
          .map((file) => path.dirname(file)),
      ).toEqual([report, report, report]);
      expect(readdirSync(report).sort()).toEqual(['index.html', 'junit.xml', 'run.json']);
    },
  );

  it('streams nothing but events on stdout with --json', async () => {
    const { code, stdout } = await harness(['scenario', 'slot-churn', '--json', '--report', path.join(folder, 'json')]);
    expect(code).toBe(0);
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events[0].type).toBe('run-started');
    const text = expect.stringMatching(/^emulated host naples: Naples, AMD EPYC 7551 /);
    expect(events).toContainEqual(expect.objectContaining({ type: 'note', scenario: 'slot-churn', text }));
    expect(events.at(-1)).toMatchObject({ type: 'run-finished', exitCode: 0 });
  });

  it('is not green when nothing executed', async () => {
    const words = ['scenario', 'slot-churn', 'launch-measure', '--host', 'fake:no-sev'];
    const { code, stderr } = await harness([...words, '--report', path.join(folder, 'skipped')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/needs sev/);
  });

  it.each([
    ['that is not there', '/nonexistent/vmlinuz', 2, /cannot read kernel \/nonexistent\/vmlinuz: ENOENT/],
    ['that is none', main, 3, /is no x86 kernel/],
  ])('does not begin with a kernel %s', async (_what, kernel, expected, text) => {
    const report = path.join(folder, 'kernel');
    const { code, stderr } = await harness(['scenario', 'slot-churn', '--kernel', kernel, '--report', report]);
    expect(code).toBe(expected);
    expect(stderr).toMatch(text);
    expect(existsSync(report)).toBe(false);
  });

  it('does not let a required need be skipped', async () => {
    const words = ['scenario', '--require', 'sev-es', '--report', path.join(folder, 'required')];
    const { code, stderr } = await harness(words);
    expect(code).toBe(2);
    expect(stderr).toMatch(/SCENARIO_NEED_UNMET|--require/);
  });

  it('exits with 1 and names the broken promise under a fault', async () => {
    const words = ['scenario', 'slot-limit', '--fault', 'limit-off-by-one-down', '--report', path.join(folder, 'red')];
    const { code, stderr } = await harness(words);
    expect(code).toBe(1);
    expect(stderr).toContain('fills-to-limit');
  });

  it('runs a failed scenario again when told to, and keeps every attempt', async () => {
    const report = path.join(folder, 'retried');
    const words = ['scenario', 'slot-churn', '--fault', 'df-flush-forgotten', '--retry', '1', '--report', report];
    expect((await harness(words)).code).toBe(1);
    const [scenario] = JSON.parse(readFileSync(path.join(report, 'run.json'), 'utf8')).scenarios;
    expect(scenario.attempts.map((attempt: { status: string }) => attempt.status)).toEqual(['failed', 'failed']);
  });

  it('counts the guests of others as used slots, and leaves them alone', async () => {
    await using host = await startEmulatedHost({ profile: 'naples' });
    await using connection = await connect(host.uri);
    const foreign =
      await connection.createDomain(`<domain type='kvm'><name>customer</name><memory unit='MiB'>256</memory>
      <memoryBacking><locked/></memoryBacking><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
      <launchSecurity type='sev'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x0003</policy></launchSecurity></domain>`);
    const report = path.join(folder, 'shared-host');
    const { code } = await harness(['scenario', 'slot-limit', '--host', host.uri, '--report', report]);
    expect(code).toBe(0);
    expect(JSON.stringify(JSON.parse(readFileSync(path.join(report, 'run.json'), 'utf8')))).toContain(
      'fill all 14 free slots',
    );
    expect(await foreign.state()).toMatchObject({ state: 'running' });
    expect((await connection.listDomains()).map(({ name }) => name)).toEqual(['customer']);
  });

  it('takes its defaults from the environment', async () => {
    const { code, stderr } = await harness(['scenario', '--list'], { SEV_HARNESS_HOST: 'nonsense' });
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect((await harness(['scenario', '--list'], { SEV_HARNESS_REQUIRE: '' })).code).toBe(0);
    const bad = await harness(['scenario'], {
      SEV_HARNESS_HOST: 'nonsense',
      SEV_HARNESS_REPORT: path.join(folder, 'env'),
    });
    expect(bad.code).toBe(3);
    expect(bad.stderr).toContain("'nonsense' is not a host");
  });

  it('runs scenarios in the order of their names, however they are named or how large their files are', async () => {
    const words = ['scenario', 'slot-churn', 'ksm', 'domain-conformance', '--host', 'fake:no-sev', '--json'];
    const { stdout } = await harness([...words, '--report', path.join(folder, 'order')]);
    const events = stdout.split('\n').map((line) => JSON.parse(line) as { type: string; scenario?: string });
    expect(events.filter(({ type }) => type === 'scenario-started').map(({ scenario }) => scenario)).toEqual([
      'domain-conformance',
      'ksm',
      'slot-churn',
    ]);
  });

  it('notes how far a long scan of memory is', async () => {
    // A clock that goes on by six seconds whenever somebody looks at it makes every scan a long one.
    const clock = path.join(folder, 'clock.mjs');
    writeFileSync(clock, 'let now = Date.now(); Date.now = () => (now += 6000);');
    const words = ['scenario', 'memory-encryption', '--host', 'fake:no-sev', '--json'];
    const env = { NODE_OPTIONS: `--import ${pathToFileURL(clock)}` };
    const { stdout } = await harness([...words, '--report', path.join(folder, 'scan')], env);
    const events = stdout.split('\n').map((line) => JSON.parse(line) as { type: string; text?: string });
    const notes = events.flatMap(({ type, text }) => (type === 'note' && text?.includes('% of') ? [text] : []));
    const ofOneGuest = [25, 50, 75, 100].map((percent) => `${percent} % of 16 MiB scanned`);
    // The guest without encryption, and the one that has not run.
    expect(notes).toEqual([...ofOneGuest, ...ofOneGuest]);
  });

  it('says how the run went also where its report cannot be written, and is not green', async () => {
    const report = path.join(folder, 'cut');
    // No file may grow beyond 16 KiB, as on a disk that is full.
    const limited = `trap '' XFSZ; ulimit -f 32; exec "$@"`;
    const words = ['-c', limited, 'sh', process.execPath, main, 'scenario', 'slot-churn', '--report', report];
    const { exitCode, stderr } = await execa('sh', words, { reject: false, env: { NO_COLOR: '1' } });
    expect(stderr).toMatch(
      /^error: could not .*EFBIG.* \[REPORT_WRITE_FAILED\]\n {2}hint: Make room.*\n\nPASSED, BUT NOT REPORTED {2}/m,
    );
    expect(stderr).not.toContain('index.html\n');
    expect(exitCode).toBe(2);
    expect(existsSync(path.join(report, 'index.html'))).toBe(false);
  });

  it('lists scenarios without running any', async () => {
    const { code, stdout } = await harness(['scenario', '--list', '--json']);
    expect(code).toBe(0);
    const ids = (JSON.parse(stdout) as { id: string }[]).map((row) => row.id);
    expect(ids).toEqual(expect.arrayContaining(['slot-limit', 'slot-churn', 'slot-es-split']));
  });
});
