import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BSP_RESET_EIP, buildVmsa } from '../../../attestation/measurement/vmsa.ts';
import { type ForgedCase, type ForgedLaunch, forgeCase } from './testing/forged-case.ts';
import { runAttest } from './testing/run-attest.ts';

/** Held against libvirt's own tool, flag for flag: it shares no code with this one. */
const TOOL = '/usr/bin/virt-qemu-sev-validate';
/** Debian's python3, which has the modules that the tool needs. */
const PYTHON = '/usr/bin/python3';

let root: string;
let forged: ForgedCase;

beforeAll(async () => {
  for (const [file, from] of [
    [TOOL, 'libvirt-clients-qemu'],
    [PYTHON, 'python3'],
  ] as const) {
    if (!existsSync(file))
      throw new Error(`${file} is missing, and this test compares with it: apt-get install ${from}`);
  }
  root = mkdtempSync(path.join(tmpdir(), 'sevh-attest-stock-'));
  forged = forgeCase(path.join(root, 'case'));
  for (const policy of ['1', '5']) {
    const platform = [
      '--pdh',
      forged.path('pdh.b64'),
      '--chain',
      forged.path('chain.b64'),
      '--cek',
      forged.path('cek.cert'),
    ];
    const trust = ['--ask-ark', forged.path('ask_ark.cert'), '--trusted-root', forged.path('root.cert')];
    const words = ['--policy', policy, '--name', `p${policy}`, '--out', forged.folder];
    expect((await runAttest(['session', ...platform, ...trust, ...words])).code).toBe(0);
  }
  const page = (resetEip: number) => buildVmsa({ resetEip, cpuSignature: 0x00a0_0f11, form: 'legacy' });
  writeFileSync(forged.path('vmsa0.bin'), page(BSP_RESET_EIP));
  writeFileSync(forged.path('vmsa1.bin'), page(0x0080_b004));
  writeFileSync(forged.path('other.fd'), Buffer.from(forged.guestFirmware).fill(0x5a, 0, 16));
});
afterAll(() => {
  if (root !== undefined) rmSync(root, { recursive: true, force: true });
});

const text = (name: string) => readFileSync(forged.path(name), 'utf8');
const MILAN = ['--cpu-family', '25', '--cpu-model', '1', '--cpu-stepping', '1'];
const es = (count: number) => ({ kind: 'built', count, cpuSignature: 0x00a0_0f11, form: 'legacy' }) as const;
const kernelFlags = () => [
  ...['--kernel', forged.path('vmlinuz'), '--initrd', forged.path('initrd.img'), '--cmdline', forged.kernel.cmdline],
];

/** The same words for both tools. */
function wordsOf(launch: ForgedLaunch, more: readonly string[], changes: Record<string, string> = {}): string[] {
  const name = `p${launch.policy}`;
  const session = { godh: text(`${name}_godh.b64`), session: text(`${name}_session.b64`) };
  const all = {
    measurement: forged.launch(session, launch),
    'api-major': '1',
    'api-minor': '55',
    'build-id': '21',
    policy: `${launch.policy}`,
    firmware: forged.path('OVMF.fd'),
    tik: forged.path(`${name}_tik.bin`),
    tek: forged.path(`${name}_tek.bin`),
    ...changes,
  };
  return [...Object.entries(all).flatMap(([flag, value]) => [`--${flag}`, value]), ...more];
}

async function stock(words: readonly string[]): Promise<number | undefined> {
  return (await execa(PYTHON, [TOOL, ...words], { reject: false })).exitCode;
}

/** Exit codes of both tools. */
async function both(words: readonly string[]): Promise<[stock: number | undefined, ours: number]> {
  return [await stock(words), (await runAttest(['verify', ...words])).code];
}

const LAUNCHES: readonly [name: string, launch: () => ForgedLaunch, more: () => string[]][] = [
  ['SEV', () => ({ policy: 1 }), () => []],
  ['SEV with kernel hashes', () => ({ policy: 1, kernel: forged.kernel }), kernelFlags],
  [
    'SEV with a kernel only',
    () => ({ policy: 1, kernel: { kernel: forged.kernel.kernel } }),
    () => kernelFlags().slice(0, 2),
  ],
  ['SEV-ES with four vCPUs', () => ({ policy: 5, vcpus: es(4) }), () => ['--num-cpus', '4', ...MILAN]],
  [
    'SEV-ES with kernel hashes',
    () => ({ policy: 5, vcpus: es(2), kernel: forged.kernel }),
    () => ['--num-cpus', '2', ...MILAN, ...kernelFlags()],
  ],
  [
    'SEV-ES by its pages',
    () => ({ policy: 5, vcpus: es(3) }),
    () => ['-n', '3', '-0', forged.path('vmsa0.bin'), '-1', forged.path('vmsa1.bin')],
  ],
];

describe.each(LAUNCHES)('%s: sessions made here, the same words for both tools', (_, launch, more) => {
  it('both accept it', async () => {
    expect(await both(wordsOf(launch(), more()))).toEqual([0, 0]);
  });

  it('both refuse another key, firmware, policy, build and command line', async () => {
    const given = launch();
    const name = `p${given.policy}`;
    for (const changes of [
      { tik: forged.path(`${name}_tek.bin`) },
      { firmware: forged.path('other.fd') },
      { policy: `${given.policy + 2}` },
      { 'build-id': '22' },
    ]) {
      expect(await both(wordsOf(given, more(), changes)), JSON.stringify(changes)).toEqual([1, 1]);
    }
    if (given.kernel === undefined) return;
    const other = more().map((word) => (word === forged.kernel.cmdline ? `${word} ` : word));
    const changed = other.includes('--cmdline') ? other : [...other, '--cmdline', 'x'];
    expect(await both(wordsOf(given, changed))).toEqual([1, 1]);
  });
});

it('both refuse SEV-ES with another number of vCPUs and another CPU', async () => {
  const launch = { policy: 5, vcpus: es(4) };
  expect(await both(wordsOf(launch, ['--num-cpus', '3', ...MILAN]))).toEqual([1, 1]);
  const rome = ['--cpu-family', '23', '--cpu-model', '49', '--cpu-stepping', '0'];
  expect(await both(wordsOf(launch, ['--num-cpus', '4', ...rome]))).toEqual([1, 1]);
});

it.each<[string, (blob: Buffer) => string]>([
  ['a 49th byte', (blob) => Buffer.concat([blob, Buffer.of(0)]).toString('base64')],
  ['a stray character in the base64', (blob) => `*${blob.toString('base64')}`],
])('they differ about %s: the tool takes it, this one does not', async (_, spoil) => {
  const [, measurement = '', ...rest] = wordsOf({ policy: 1 }, []);
  expect(await both(['--measurement', spoil(Buffer.from(measurement, 'base64')), ...rest])).toEqual([0, 1]);
});

describe('secrets', () => {
  const places = (name: string) => ({ header: forged.path(`${name}.header`), payload: forged.path(`${name}.payload`) });
  const placeWords = ({ header, payload }: ReturnType<typeof places>) => [
    '--secret-header',
    header,
    '--secret-payload',
    payload,
  ];
  const GUID = '0f3d1c6a-5b8e-4f0a-9d55-2a4f6b7c8d9e';
  const secrets = () => [
    ...['--inject-secret', `luks-key:${forged.path('passphrase.txt')}`],
    ...['--inject-secret', `${GUID}:${forged.path('vmlinuz')}`],
  ];
  const open = (words: readonly string[], files: ReturnType<typeof places>) => {
    const keys = ['--tik', forged.path('p1_tik.bin'), '--tek', forged.path('p1_tek.bin')];
    return runAttest(['secret', '--open', '--measurement', words[1] ?? '', ...keys, ...placeWords(files), '--json']);
  };

  it("the tool's packet opens here", async () => {
    const words = wordsOf({ policy: 1 }, []);
    const files = places('theirs');
    expect(await stock([...words, ...placeWords(files), ...secrets()])).toBe(0);
    const { code, out } = await open(words, files);
    expect(code).toBe(0);
    expect(JSON.parse(out).secrets).toEqual([
      { guid: '736869e5-84f0-4973-92ec-06879ce3da0b', bytes: 28 },
      { guid: GUID, bytes: 25 },
    ]);
  });

  it("a packet made here is what the tool's own classes make of the same IV", async () => {
    const words = wordsOf({ policy: 1 }, []);
    const files = places('ours');
    expect((await runAttest(['secret', ...words, ...placeWords(files), ...secrets()])).code).toBe(0);
    const theirs = await execa(PYTHON, [
      '-c',
      REBUILD,
      TOOL,
      ...words,
      files.header,
      forged.path('passphrase.txt'),
      GUID,
      forged.path('vmlinuz'),
    ]);
    const [header, table] = theirs.stdout.split('\n');
    expect(text('ours.header')).toBe(header);
    expect(text('ours.payload')).toBe(table);
  });
});

/** Drives the tool's classes with our IV in place of its random one; prints header and payload in base64. */
const REBUILD = `
import base64, os, runpy, sys
tool = runpy.run_path(sys.argv[1], run_name='stock')
flags = dict(zip(sys.argv[2:18:2], sys.argv[3:18:2]))
header, passphrase, guid, other = sys.argv[18:22]
ours = base64.b64decode(open(header).read())
vm = tool['OfflineConfidentialVM'](measurement=flags['--measurement'], api_major=int(flags['--api-major']),
  api_minor=int(flags['--api-minor']), build_id=int(flags['--build-id']), policy=int(flags['--policy']))
vm.load_firmware(flags['--firmware'])
vm.load_tik_tek(flags['--tik'], flags['--tek'])
vm.attest()
vm.secrets_table.load_secret('luks-key', passphrase)
vm.secrets_table.load_secret(guid, other)
os.urandom = lambda length: ours[4:20]
print('\\n'.join(vm.build_secrets()))
`;
