import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BSP_RESET_EIP, buildVmsa } from '../../../attestation/measurement/vmsa.ts';
import { type ForgedCase, type ForgedLaunch, forgeCase } from './testing/forged-case.ts';
import { runAttest } from './testing/run-attest.ts';

let root: string;
let forged: ForgedCase;

beforeAll(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'sevh-attest-verify-'));
  forged = forgeCase(path.join(root, 'case'));
  for (const policy of ['1', '5']) {
    const words = [...platform(), '--policy', policy, '--name', `p${policy}`, '--out', forged.folder];
    expect((await runAttest(['session', ...words])).code).toBe(0);
  }
  for (const [name, resetEip] of [
    ['vmsa0.bin', BSP_RESET_EIP],
    ['vmsa1.bin', 0x0080_b004],
  ] as const) {
    writeFileSync(forged.path(name), buildVmsa({ resetEip, cpuSignature: 0x00a0_0f11, form: 'legacy' }));
  }
  const keys = [readFileSync(forged.path('p1_tek.bin')), readFileSync(forged.path('p1_tik.bin'))];
  writeFileSync(forged.path('p1_tk.bin'), Buffer.concat(keys));
  writeFileSync(forged.path('p1_tik.b64'), `${keys[1]?.toString('base64')}\n`);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const platform = () => [
  ...['--pdh', forged.path('pdh.b64'), '--chain', forged.path('chain.b64'), '--cek', forged.path('cek.cert')],
  ...['--ask-ark', forged.path('ask_ark.cert'), '--trusted-root', forged.path('root.cert')],
];
const text = (name: string) => readFileSync(forged.path(name), 'utf8');
const kernel = () => [
  ...['--kernel', forged.path('vmlinuz'), '--initrd', forged.path('initrd.img'), '--cmdline', 'root=LABEL=root quiet'],
];
const MILAN = ['--cpu-family', '25', '--cpu-model', '1', '--cpu-stepping', '1'];
const es = (count: number, form: 'legacy' | 'init2' = 'legacy') =>
  ({ kind: 'built', count, cpuSignature: 0x00a0_0f11, form }) as const;

function measured(launch: ForgedLaunch): string {
  const name = `p${launch.policy}`;
  return forged.launch({ godh: text(`${name}_godh.b64`), session: text(`${name}_session.b64`) }, launch);
}

/** The flags of a launch; a change replaces the flag of its name, and `undefined` leaves it out. */
function flags(launch: ForgedLaunch, changes: Record<string, string | undefined> = {}): string[] {
  const all = {
    measurement: measured(launch),
    'api-major': '1',
    'api-minor': '55',
    'build-id': '21',
    policy: `${launch.policy}`,
    firmware: forged.path('OVMF.fd'),
    tik: forged.path(`p${launch.policy}_tik.bin`),
    ...changes,
  };
  return Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`]));
}

const verify = (launch: ForgedLaunch, more: string[] = [], changes: Record<string, string | undefined> = {}) =>
  runAttest(['verify', ...flags(launch, changes), ...more]);

describe('a launch that is as it should be', () => {
  it.each<[string, ForgedLaunch, () => string[]]>([
    ['SEV', { policy: 1 }, () => []],
    ['SEV with kernel hashes', { policy: 1, kernel: KERNEL() }, kernel],
    ['SEV-ES, one vCPU', { policy: 5, vcpus: es(1) }, () => ['--num-cpus', '1', ...MILAN]],
    [
      'SEV-ES, 16 vCPUs and kernel hashes',
      { policy: 5, vcpus: es(16), kernel: KERNEL() },
      () => ['--num-cpus', '16', ...MILAN, ...kernel()],
    ],
    [
      'SEV-ES in the INIT2 form',
      { policy: 5, vcpus: es(2, 'init2') },
      () => ['--num-cpus', '2', ...MILAN, '--vmsa-form', 'init2'],
    ],
    [
      'SEV-ES by its pages',
      { policy: 5, vcpus: es(4) },
      () => ['-n', '4', '-0', forged.path('vmsa0.bin'), '-1', forged.path('vmsa1.bin')],
    ],
  ])('verifies: %s', async (_, launch, more) => {
    const { code, out, err } = await verify(launch, more());
    expect(code).toBe(0);
    expect(out).toContain('✓ the firmware that holds the key measured exactly the expected guest');
    expect(err).toContain('no certificate chain was given');
  });

  it('verifies with chain and session in one verdict', async () => {
    const session = ['--session', forged.path('p1_session.b64'), '--godh', forged.path('p1_godh.b64')];
    const { code, out, err } = await verify({ policy: 1 }, [...session, ...platform(), '--json']);
    expect(code).toBe(0);
    expect(err).not.toContain('certificate chain');
    const result = JSON.parse(out);
    expect(result).toMatchObject({ verb: 'verify', ok: true, verdict: 'valid', root: { isAmd: false } });
    const subjects = new Set(result.checks.map((check: { id: string }) => check.id.split('.')[0]));
    expect([...subjects]).toEqual(['chain', 'session', 'launch']);
  });

  it.each<[string, Record<string, string | undefined>]>([
    ['the policy in hex', { policy: '0x0001' }],
    ['both keys in one file', { tik: undefined, tk: 'p1_tk.bin' }],
    ['the TIK in base64', { tik: 'p1_tik.b64' }],
    ['the TEK too', { tek: 'p1_tek.bin' }],
  ])('verifies with %s', async (_, changes) => {
    const inFolder = Object.fromEntries(
      Object.entries(changes).map(([name, value]) => [name, value?.startsWith('p1') ? forged.path(value) : value]),
    );
    expect((await verify({ policy: 1 }, [], inFolder)).code).toBe(0);
  });
});

describe('a launch that is not as it should be is invalid, and says which row', () => {
  const red = async (
    more: string[],
    changes: Record<string, string | undefined>,
    launch: ForgedLaunch = { policy: 1 },
  ) => {
    const { code, out } = await verify(launch, [...more, '--json'], changes);
    expect(code).toBe(1);
    const checks = JSON.parse(out).checks as { id: string; outcome: string; hint?: string }[];
    const rows = checks.filter((check) => check.outcome === 'failed' || check.outcome === 'incomplete');
    return rows.map((row) => `${row.id} ${row.outcome}`);
  };
  const MATCH = ['launch.measurement-matches failed'];

  it.each<[string, () => string[], Record<string, string | undefined>, string[]]>([
    ['another build', () => [], { 'build-id': '22' }, MATCH],
    ['another API version', () => [], { 'api-minor': '54' }, MATCH],
    ['another policy', () => [], { policy: '3' }, MATCH],
    ['a kernel that was not measured', kernel, {}, MATCH],
    ['the wrong key', () => [], { tik: 'p1_tek.bin' }, MATCH],
    ['no key', () => [], { tik: undefined }, ['launch.tik-present incomplete']],
  ])('%s', async (_, more, changes, rows) => {
    const tik = changes.tik === undefined ? {} : { tik: forged.path(changes.tik) };
    expect(await red(more(), { ...changes, ...tik })).toEqual(rows);
  });

  it('another guest firmware', async () => {
    writeFileSync(forged.path('other.fd'), Buffer.alloc(4096, 1));
    expect(await red([], { firmware: forged.path('other.fd') })).toEqual(MATCH);
  });

  it('an all-zero key', async () => {
    writeFileSync(forged.path('zero.bin'), Buffer.alloc(16));
    expect(await red([], { tik: forged.path('zero.bin') })).toEqual(['launch.tik-not-zero failed']);
  });

  it.each<[string, (base64: string) => string, string]>([
    [
      'a 49th byte',
      (base64) => Buffer.concat([Buffer.from(base64, 'base64'), Buffer.of(0)]).toString('base64'),
      'launch.measurement-length failed',
    ],
    ['a stray character', (base64) => `${base64.slice(0, 8)}*${base64.slice(8)}`, 'launch.measurement-encoding failed'],
    ['a line end', (base64) => `${base64}\n`, 'launch.measurement-encoding failed'],
    [
      'a digest in its place',
      (base64) => Buffer.from(base64, 'base64').subarray(0, 32).toString('base64'),
      'launch.measurement-length failed',
    ],
  ])('a measurement with %s', async (_, spoil, row) => {
    expect(await red([], { measurement: spoil(measured({ policy: 1 })) })).toEqual([row]);
  });

  it('the session of another policy', async () => {
    const session = ['--session', forged.path('p5_session.b64')];
    expect(await red(session, {})).toEqual(['session.policy-bound failed']);
  });

  it('a session that is cut short', async () => {
    writeFileSync(forged.path('short.bin'), Buffer.alloc(127, 0xff));
    expect(await red(['--session', forged.path('short.bin')], {})).toEqual(['session.blob-well-formed failed']);
  });

  it('a chain that is incomplete, beside a measurement that matches', async () => {
    const chain = ['--pdh', forged.path('pdh.b64'), '--chain', forged.path('chain.b64')];
    const { code, out } = await verify({ policy: 1 }, chain);
    expect(code).toBe(1);
    expect(out).toContain('INCOMPLETE');
  });
});

describe('flags that make no launch are usage errors in one line', () => {
  it.each<[string, string[], Record<string, string | undefined>, RegExp]>([
    ['no build', [], { 'build-id': undefined }, /without --build-id$/],
    ['no policy and no firmware', [], { policy: undefined, firmware: undefined }, /without --policy, --firmware$/],
    ['a negative build', [], { 'build-id': '-1' }, /--build-id: expected a whole number from 0 to 255, got '-1'/],
    ['a huge build', [], { 'build-id': '1e9' }, /--build-id/],
    ['a build over one byte', [], { 'build-id': '256' }, /--build-id/],
    ['an initrd without a kernel', ['--initrd', '/dev/null'], {}, /--initrd needs --kernel/],
    ['SEV-ES without vCPUs', [], { policy: '5' }, /--num-cpus is required/],
    ['SEV-ES without a CPU', ['--num-cpus', '2'], { policy: '5' }, /--cpu-family/],
    [
      'half a CPU',
      ['--num-cpus', '2', '--cpu-family', '25'],
      { policy: '5' },
      /--cpu-family needs --cpu-model and --cpu-stepping/,
    ],
    ['no vCPU', ['--num-cpus', '0', ...MILAN], { policy: '5' }, /--num-cpus/],
    ['more vCPUs than there can be', ['--num-cpus', '99999999', ...MILAN], { policy: '5' }, /--num-cpus/],
    [
      'a stepping that is too large',
      ['--num-cpus', '1', '--cpu-family', '25', '--cpu-model', '1', '--cpu-stepping', '16'],
      { policy: '5' },
      /--cpu-stepping/,
    ],
    ['a key of 17 bytes', [], { tik: 'OVMF.fd' }, /--tik .*OVMF.fd: TIK is not usable: expected 16 bytes/],
    ['a missing key file', [], { tik: 'nowhere' }, /--tik: cannot read .*nowhere: ENOENT/],
    ['keys given twice over', ['--tk', 'x'], {}, /--tk holds both keys/],
    ['a word that is no flag', ['surplus'], {}, /unexpected word 'surplus'/],
    ['a flag without a value', ['--kernel'], {}, /--kernel needs a value/],
    ['a switch with a value', ['--json=yes'], {}, /--json takes no value/],
    ['an unknown flag', ['--frimware', 'x'], {}, /unknown option '--frimware'/],
    ['libvirt without a domain', ['--connect', 'qemu:///system'], {}, /--connect needs --domain/],
  ])('%s', async (_, more, changes, message) => {
    const tik = changes.tik === undefined ? {} : { tik: forged.path(changes.tik) };
    const { code, error, out } = await verify({ policy: 1 }, more, { ...changes, ...tik });
    expect(code).toBe(3);
    expect(error?.message).toMatch(message);
    expect(error?.message).not.toContain('\n');
    expect(out).toBe('');
  });

  it('nothing at all', async () => {
    const { code, error } = await runAttest(['verify']);
    expect([code, error?.message]).toEqual([3, 'nothing to verify was given']);
  });
});

it('warns where vCPU flags change nothing, as they do for the stock tool', async () => {
  const { code, err } = await verify({ policy: 1 }, ['--num-cpus', '4']);
  expect(code).toBe(0);
  expect(err).toContain('--num-cpus changed nothing');
});

it('warns of a policy that lets the host read the guest', async () => {
  const { err } = await verify({ policy: 1 }, [], { policy: '0' });
  expect(err).toContain('warning: policy: NODBG is clear');
});

it('shows what was taken how, and a tree with words', async () => {
  const { out } = await verify({ policy: 1 }, [], { 'build-id': '22' });
  expect(
    out.replaceAll(forged.folder, '.').replace(/measurementHex [0-9a-f]+/, 'measurementHex …'),
  ).toMatchInlineSnapshot(`
    "--tik ./p1_tik.bin: taken as binary, 16 bytes
    --firmware ./OVMF.fd: taken as binary, 65536 bytes
    ✗ launch measurement
    ├─ ✓ the measurement is strict base64
    ├─ ✓ the measurement is 48 bytes: 32 of HMAC and 16 of nonce
    ├─ ✓ the guest owner's transport integrity key is 16 bytes
    ├─ ✓ the launch had a session: the transport integrity key is not all zero
    ├─ ✗ failed: the firmware that holds the key measured exactly the expected guest [launch.measurement-matches]
    │      the measurement is not the HMAC of the expected digest, policy, firmware version and nonce under this TIK
    │      expected launchDigestHex c64acc1cac72d188a24a1a7ebcd152c6a999b6e431da4cb0d138c0a2efd9263b, policy 0x0001 NODBG, sevFirmware 1.55 build 22, mnonceHex a0a1a2a3a4a5a6a7a8a9aaabacadaeaf
    │      actual   measurementHex …
    │      fix: Run \`sev-harness attest explain\` with the same inputs: it looks for the one that differs.
    └─ - skipped: the nonce stated beside the measurement is the one inside it [launch.nonce-matches]
           no nonce was stated beside the measurement
    INVALID, do not trust it: 4 passed, 1 failed, 0 incomplete, 1 skipped
    SEV firmware: 1.55 build 22, as the host claims
    "
  `);
});

function KERNEL() {
  return {
    kernel: Buffer.from('a kernel that no CPU runs'),
    initrd: Buffer.from('an initrd'),
    cmdline: 'root=LABEL=root quiet',
  };
}
