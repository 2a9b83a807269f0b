import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EmulatedHost, startEmulatedHost } from '../../fakelibvirt/index.ts';
import { builtinFirmware } from '../../fakelibvirt/qemu/builtin-firmware.ts';
import { connect, type Domain, type LibvirtConnection } from '../../libvirt/index.ts';
import { runAttest } from './testing/run-attest.ts';

/** From the host's PDH to a secret in its guest, with nothing but our verbs: the emulated firmware shares no formula with them. */
const main = path.resolve(import.meta.dirname, '../../../dist/harness/cli/main.cjs');
const PASSPHRASE = 'a pass phrase for one measured guest';
const LUKS_GUID = '736869e5-84f0-4973-92ec-06879ce3da0b';
const CMDLINE = 'console=ttyS0 root=/dev/vda quiet';
const MILAN = ['--cpu-family', '25', '--cpu-model', '1', '--cpu-stepping', '1'];

let host: EmulatedHost;
let connection: LibvirtConnection;
let folder: string;
let count = 0;

const at = (name: string) => path.join(folder, name);
/** The emulated manufacturer is not AMD, so its root is trusted by name. */
const roots = () => ['--cek', at('cek.cert'), '--ask-ark', at('ask_ark.cert'), '--trusted-root', at('ask_ark.cert')];

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-attest-emulated-'));
  host = await startEmulatedHost({ profile: 'milan' });
  connection = await connect(host.uri);
  const { pdh = '', certChain = '' } = await connection.sevInfo();
  const wrongFirmware = Buffer.from(builtinFirmware());
  wrongFirmware[64] = (wrongFirmware[64] ?? 0) ^ 1;
  for (const [name, content] of Object.entries({
    'pdh.b64': pdh,
    'chain.b64': certChain,
    'cek.cert': await readFromManufacturer('cek.cert'),
    'ask_ark.cert': await readFromManufacturer('ask_ark.cert'),
    'OVMF.amdsev.fd': builtinFirmware(),
    'wrong.fd': wrongFirmware,
    'wrong.key': randomBytes(16),
    vmlinuz: randomBytes(20_000),
    'initrd.img': randomBytes(9_999),
    passphrase: PASSPHRASE,
  })) {
    writeFileSync(at(name), content);
  }
  // The emulated manufacturer makes its 4096-bit keys when it is first asked.
}, 60_000);
afterAll(async () => {
  await connection?.close();
  await host?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

async function readFromManufacturer(name: string): Promise<Uint8Array> {
  const file = { path: `/var/lib/emulated-sev/${name}`, offset: 0n, length: 1 << 20 };
  return (await connection.callEmulator('readFile', file)).content;
}

const attest = (words: readonly string[]) => runAttest(words, { connect: (uri) => connect(uri) });

interface Shape {
  readonly policy: number;
  readonly isKernelHashed: boolean;
  readonly vcpus: number;
}

const SHAPES: readonly [string, Shape][] = [
  ['SEV', { policy: 3, isKernelHashed: false, vcpus: 1 }],
  ['SEV and kernel hashes', { policy: 3, isKernelHashed: true, vcpus: 1 }],
  ['SEV-ES and three vCPUs', { policy: 7, isKernelHashed: false, vcpus: 3 }],
  ['SEV-ES, two vCPUs and kernel hashes', { policy: 7, isKernelHashed: true, vcpus: 2 }],
];

/** `attest session`, then the host's part: a paused guest with the two public files. */
async function launch({ policy, isKernelHashed, vcpus }: Shape): Promise<{ domain: Domain; owned: string[] }> {
  const name = `owned-${++count}`;
  const platform = ['--pdh', at('pdh.b64'), '--chain', at('chain.b64'), ...roots()];
  const session = await attest(['session', ...platform, '--policy', `${policy}`, '--name', name, '--out', folder]);
  expect([session.code, session.error]).toEqual([0, undefined]);
  const kernel = `<kernel>${at('vmlinuz')}</kernel><initrd>${at('initrd.img')}</initrd><cmdline>${CMDLINE}</cmdline>`;
  const text = (part: string) => readFileSync(at(`${name}_${part}.b64`), 'utf8').trim();
  const domain = await connection.createDomain(
    `<domain type='kvm'><name>${name}</name><memory unit='MiB'>64</memory>
     <memtune><hard_limit unit='MiB'>512</hard_limit></memtune><vcpu>${vcpus}</vcpu>
     <os><type arch='x86_64' machine='q35'>hvm</type>
     <loader readonly='yes' type='rom' stateless='yes'>${at('OVMF.amdsev.fd')}</loader>${isKernelHashed ? kernel : ''}</os>
     <features><acpi/></features><cpu mode='host-passthrough'/><devices><serial type='pty'/></devices>
     <launchSecurity type='sev'${isKernelHashed ? " kernelHashes='yes'" : ''}><policy>${policy}</policy>
     <dhCert>${text('godh')}</dhCert><session>${text('session')}</session></launchSecurity></domain>`,
    { paused: true },
  );
  const owned = [
    ...['--connect', host.uri, '--domain', name, '--firmware', at('OVMF.amdsev.fd'), '--policy', `${policy}`],
    ...['--tik', at(`${name}_tik.bin`), '--session', at(`${name}_session.b64`), '--godh', at(`${name}_godh.b64`)],
    ...(isKernelHashed ? ['--kernel', at('vmlinuz'), '--initrd', at('initrd.img'), '--cmdline', CMDLINE] : []),
    ...((policy & 4) === 0 ? [] : ['--num-cpus', `${vcpus}`, ...MILAN]),
    ...roots(),
  ];
  return { domain, owned };
}

/** The same words with another value for one flag. */
const swap = (words: readonly string[], flag: string, value: string) =>
  words.map((word, index) => (words[index - 1] === flag ? value : word));

const redRows = (out: string): string[] =>
  (JSON.parse(out).checks as { id: string; outcome: string }[])
    .filter(({ outcome }) => outcome === 'failed' || outcome === 'incomplete')
    .map(({ id }) => id);

async function consoleOf(domain: Domain): Promise<string> {
  const stream = await domain.openConsole();
  for await (const bytes of stream) return Buffer.from(bytes).toString();
  return '';
}

describe.each(SHAPES)('a guest of the emulated host with %s', (_, shape) => {
  it('verifies up to its root, and with a wrong key, firmware or policy does not', async () => {
    const { owned } = await launch(shape);
    const good = await attest(['verify', ...owned]);
    expect(good.error).toBeUndefined();
    expect(good.out).toMatch(/^VALID: .*\nroot: not AMD\nSEV firmware: \d+\.\d+ build \d+$/m);
    expect(good.code).toBe(0);
    for (const [flag, value, rows] of [
      ['--tik', at('wrong.key'), ['session.policy-bound', 'launch.measurement-matches']],
      ['--firmware', at('wrong.fd'), ['launch.measurement-matches']],
      [
        '--policy',
        `${shape.policy ^ 2}`,
        ['domain.policy-as-stated', 'session.policy-bound', 'launch.measurement-matches'],
      ],
    ] as const) {
      const bad = await attest(['verify', ...swap(owned, flag, value), '--json']);
      expect([flag, bad.code, redRows(bad.out)]).toEqual([flag, 1, rows]);
    }
  });

  it('gets the secret once it verifies, runs, and finds it; before that nothing is given out', async () => {
    const { domain, owned } = await launch(shape);
    const tek = owned[owned.indexOf('--tik') + 1]?.replace('_tik', '_tek') ?? '';
    const words = [...owned, '--tek', tek, '--inject-secret', `luks-key:${at('passphrase')}`];
    const refused = await attest(['secret', ...swap(words, '--firmware', at('wrong.fd'))]);
    expect(refused.code).toBe(1);
    expect((await domain.state()).state).toBe('paused');

    const given = await attest(['secret', ...words]);
    expect([given.code, given.error]).toEqual([0, undefined]);
    expect((await domain.state()).state).toBe('running');
    const digest = createHash('sha256').update(PASSPHRASE).digest('hex');
    const printed = await consoleOf(domain);
    expect(printed).toContain(`"guid":"${LUKS_GUID}","sha256":"${digest}"`);
    expect(printed).not.toContain(PASSPHRASE);
  });
});

it('the compiled program does the same from its own process', async () => {
  if (!existsSync(main)) throw new Error('dist/ is missing: run npm run build');
  const { owned } = await launch({ policy: 3, isKernelHashed: false, vcpus: 1 });
  const run = (words: readonly string[]) =>
    execa(process.execPath, [main, 'attest', 'verify', ...words], { reject: false, env: { NO_COLOR: '1' } });
  expect(await run(owned)).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^VALID: /m) });
  expect(await run(swap(owned, '--firmware', at('wrong.fd')))).toMatchObject({
    exitCode: 1,
    stdout: expect.stringMatching(/^INVALID, do not trust it: /m),
  });
});
