import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { dir } from 'tmp-promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createLaunchSession,
  mergeChains,
  parseAskArk,
  parseCertChain,
  parseSevCertificate,
} from '../../attestation/index.ts';
import { fromBase64, toBase64 } from '../../core/bytes.ts';
import { type EmulatedHost, startEmulatedHost } from '../fakelibvirt/index.ts';
import { builtinFirmware } from '../fakelibvirt/qemu/builtin-firmware.ts';
import { connect, type Domain, type LibvirtConnection } from '../libvirt/index.ts';

/** Debian's own tool attests guests of the emulated host: it shares no code with the emulator or with our verifier. */
const TOOL = '/usr/bin/virt-qemu-sev-validate';
const PYTHON = '/usr/bin/python3';
const DEBIAN_OVMF = '/usr/share/OVMF/OVMF_CODE_4M.fd';
const PASSPHRASE = 'open sesame, but only for a guest that was measured';
const MILAN = ['--cpu-family', '25', '--cpu-model', '1', '--cpu-stepping', '1'];
const CMDLINE = 'console=ttyS0 root=/dev/vda quiet';

let host: EmulatedHost;
let connection: LibvirtConnection;
let folder: { path: string; cleanup(): Promise<void> };
let platform: ReturnType<typeof mergeChains>;
let count = 0;

beforeAll(async () => {
  for (const [file, from] of [
    [TOOL, 'libvirt-clients-qemu'],
    [PYTHON, 'python3'],
    [DEBIAN_OVMF, 'ovmf'],
  ] as const) {
    if (!existsSync(file)) throw new Error(`${file} is missing, and this test needs it: apt-get install ${from}`);
  }
  folder = await dir({ unsafeCleanup: true, prefix: 'sevh-stock-attest-' });
  await writeFile(at('OVMF.amdsev.fd'), builtinFirmware());
  await writeFile(at('vmlinuz'), randomBytes(20_000));
  await writeFile(at('initrd.img'), randomBytes(9_999));
  await writeFile(at('passphrase'), PASSPHRASE);
  host = await startEmulatedHost({ profile: 'milan' });
  connection = await connect(host.uri);
  const { pdh = '', certChain = '' } = await connection.sevInfo();
  const read = async (name: string) =>
    (await connection.callEmulator('readFile', { path: `/var/lib/emulated-sev/${name}`, offset: 0n, length: 1 << 20 }))
      .content;
  const { pek, oca } = parseCertChain(fromBase64(certChain) ?? new Uint8Array());
  const own = { pdh: parseSevCertificate(fromBase64(pdh) ?? new Uint8Array()), pek, oca };
  const cek = parseSevCertificate(await read('cek.cert'));
  platform = mergeChains({ ...own, cek }, parseAskArk(await read('ask_ark.cert')));
});
afterAll(async () => {
  await connection?.close();
  await host?.close();
  await folder?.cleanup();
});

const at = (name: string) => path.join(folder.path, name);

interface Shape {
  readonly policy: number;
  readonly firmware?: string;
  readonly isKernelHashed?: boolean;
  readonly vcpus?: number;
}

interface Launched {
  readonly domain: Domain;
  readonly measurement: string;
  readonly keys: string[];
  /** Flags for the tool: the guest, and what its owner knows of it. */
  readonly words: string[];
}

async function launch({
  policy,
  firmware = at('OVMF.amdsev.fd'),
  isKernelHashed,
  vcpus = 1,
}: Shape): Promise<Launched> {
  const verification = { trustedRoot: platform.ark };
  const session = createLaunchSession({ platform, verification, policy, random: randomBytes });
  const name = `attested-${++count}`;
  const kernel = isKernelHashed
    ? `<kernel>${at('vmlinuz')}</kernel><initrd>${at('initrd.img')}</initrd><cmdline>${CMDLINE}</cmdline>`
    : '';
  const domain = await connection.createDomain(
    `<domain type='kvm'><name>${name}</name><memory unit='MiB'>64</memory>
     <memtune><hard_limit unit='MiB'>512</hard_limit></memtune><vcpu>${vcpus}</vcpu>
     <os><type arch='x86_64' machine='q35'>hvm</type>
     <loader readonly='yes' type='pflash' stateless='yes'>${firmware}</loader>${kernel}</os>
     <features><acpi/></features><cpu mode='host-passthrough'/><devices><serial type='pty'/></devices>
     <launchSecurity type='sev'${isKernelHashed ? " kernelHashes='yes'" : ''}><policy>${policy}</policy>
     <dhCert>${toBase64(session.godh)}</dhCert><session>${toBase64(session.session)}</session></launchSecurity></domain>`,
    { paused: true },
  );
  await writeFile(at(`${name}.tik`), session.tik.reveal());
  await writeFile(at(`${name}.tek`), session.tek.reveal());
  const keys = ['--tik', at(`${name}.tik`), '--tek', at(`${name}.tek`)];
  const kernelFlags = ['--kernel', at('vmlinuz'), '--initrd', at('initrd.img'), '--cmdline', CMDLINE];
  const words = [
    ...['--connect', host.uri, '--domain', name, '--firmware', firmware, ...keys],
    ...(isKernelHashed ? kernelFlags : []),
    ...((policy & 4) === 0 ? [] : ['--num-cpus', String(vcpus), ...MILAN]),
  ];
  return { domain, measurement: String((await domain.launchSecurityInfo())['sev-measurement']), keys, words };
}

const validate = (words: readonly string[]) =>
  execa(PYTHON, [TOOL, ...words], { reject: false, stdin: 'ignore', env: { LC_ALL: 'C' } });

async function consoleOf(domain: Domain): Promise<string> {
  const stream = await domain.openConsole();
  for await (const bytes of stream) return Buffer.from(bytes).toString();
  return '';
}

const SHAPES: readonly [name: string, shape: () => Shape][] = [
  ['SEV', () => ({ policy: 1 })],
  ["SEV with Debian's OVMF", () => ({ policy: 1, firmware: DEBIAN_OVMF })],
  ['SEV with kernel hashes', () => ({ policy: 1, isKernelHashed: true })],
  ['SEV-ES with three vCPUs', () => ({ policy: 5, vcpus: 3 })],
  ["SEV-ES with Debian's OVMF", () => ({ policy: 5, vcpus: 2, firmware: DEBIAN_OVMF })],
  ['SEV-ES with kernel hashes', () => ({ policy: 5, vcpus: 2, isKernelHashed: true })],
];

describe('virt-qemu-sev-validate on the emulated host', () => {
  it.each(SHAPES)('attests a paused guest with %s, and rejects a wrong TIK, firmware and policy', async (_, shape) => {
    const { words } = await launch(shape());
    const good = await validate(words);
    expect([good.exitCode, good.stdout]).toEqual([0, 'OK: Looks good to me']);

    await writeFile(at('wrong.key'), randomBytes(16));
    const firmware = Buffer.from(await readFile(shape().firmware ?? at('OVMF.amdsev.fd')));
    await writeFile(at('wrong.fd'), firmware.fill(firmware.at(64) === 0 ? 1 : 0, 64, 65));
    for (const wrong of [
      ['--tik', at('wrong.key')],
      ['--firmware', at('wrong.fd')],
      ['--policy', String(shape().policy ^ 2)],
    ]) {
      const refused = await validate([...words, ...wrong]);
      expect([wrong[0], refused.exitCode, refused.stderr]).toEqual([
        wrong[0],
        1,
        'ERROR: Measurement does not match, VM is not trustworthy',
      ]);
    }
  });

  it.each(SHAPES.filter(([name]) => !name.includes('Debian')))(
    'injects a passphrase into a guest with %s, which then runs and finds it',
    async (_, shape) => {
      const { domain, words } = await launch(shape());
      const injected = await validate([...words, '--inject-secret', `luks-key:${at('passphrase')}`]);
      expect([injected.exitCode, injected.stdout]).toEqual([0, 'OK: Looks good to me\nOK: Injected 1 secrets']);
      expect((await domain.state()).state).toBe('running');
      const digest = createHash('sha256').update(PASSPHRASE).digest('hex');
      expect(await consoleOf(domain)).toContain(`"guid":"736869e5-84f0-4973-92ec-06879ce3da0b","sha256":"${digest}"`);
    },
  );

  it('does not get past the firmware with a packet for another launch', async () => {
    const [one, two] = [await launch({ policy: 1 }), await launch({ policy: 1 })];
    const offline = await validate([
      ...['--measurement', one.measurement, '--api-major', '1', '--api-minor', '55', '--build-id', '29'],
      ...['--policy', '1', '--firmware', at('OVMF.amdsev.fd'), ...one.keys],
      ...['--secret-header', at('header'), '--secret-payload', at('payload')],
      ...['--inject-secret', `luks-key:${at('passphrase')}`],
    ]);
    expect(offline.exitCode).toBe(0);
    const [header, secret] = [await readFile(at('header'), 'utf8'), await readFile(at('payload'), 'utf8')];
    await expect(two.domain.setLaunchSecurityState({ header, secret })).rejects.toThrow(
      /fw_error=11 'Bad measurement'/,
    );
  });
});
