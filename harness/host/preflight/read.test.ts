import { describe, expect, it, vi } from 'vitest';
import { LibvirtConnection } from '../../libvirt/index.ts';
import type { Host } from '../host.ts';
import type { FileReading, HostShell } from '../shell.ts';
import { readPreflight } from './read.ts';

const denied = { outcome: 'unreadable', because: 'permission denied' } as const;

function bytes(text: string): FileReading {
  return { outcome: 'read', bytes: new TextEncoder().encode(text) };
}

function registers(...words: number[]): FileReading {
  return { outcome: 'read', bytes: new Uint8Array(Uint32Array.from(words).buffer) };
}

interface Scripted {
  /** By path; the cpuid device by `cpuid:` and the leaf. Everything else is absent. */
  readonly files?: Readonly<Record<string, FileReading>>;
  readonly folders?: Readonly<Record<string, readonly string[]>>;
  /** By the first word of the command or, for `sh -c`, of its script. */
  readonly commands?: Readonly<Record<string, FileReading>>;
  readonly stat?: Awaited<ReturnType<HostShell['stat']>>;
  readonly uri?: string;
}

/** A host of which only the shell answers. */
function host({ files = {}, folders = {}, commands = {}, stat, uri = 'qemu:///system' }: Scripted): Host {
  const readFile = async (path: string, range?: { offset: number }): Promise<FileReading> =>
    files[path === '/dev/cpu/0/cpuid' ? `cpuid:${range?.offset.toString(16)}` : path] ?? { outcome: 'absent' };
  const connection: LibvirtConnection = Object.create(LibvirtConnection.prototype, { uri: { value: uri } });
  const shell: HostShell = {
    where: 'local',
    readFile,
    readFiles: (paths) => Promise.all(paths.map((path) => readFile(path))),
    stat: async () => stat ?? { outcome: 'absent' },
    listFolder: async (path) => {
      const names = folders[path];
      return names === undefined ? { outcome: 'absent' } : { outcome: 'read', names };
    },
    run: async ([program = '', , script = '']) =>
      commands[program === 'sh' ? (script.split(' ')[0] ?? '') : program] ?? { outcome: 'absent' },
    kill: async () => {},
    close: async () => {},
  };
  const close = async () => {};
  const parts = { name: 'scripted', kind: 'real', profile: undefined, connection, shell } as const;
  return { ...parts, reconnect: async () => connection, close, [Symbol.asyncDispose]: close };
}

describe('CPUID', () => {
  const leaf = registers(0x0101fd3f, 0x4173, 509, 128);

  it('is read where the processor has the leaf', async () => {
    const files = { 'cpuid:80000000': registers(0x80000023, 0, 0, 0), 'cpuid:8000001f': leaf };
    expect((await readPreflight(host({ files }))).encryptionLeaf).toMatchObject({ value: { sev: true, maxAsid: 509 } });
  });

  it('beyond the largest leaf is another leaf, as on Intel, and is not taken for SEV', async () => {
    const files = { 'cpuid:80000000': registers(0x80000008, 0, 0, 0), 'cpuid:8000001f': leaf };
    expect((await readPreflight(host({ files }))).encryptionLeaf).toEqual({
      outcome: 'absent',
      because: "the processor's largest CPUID leaf is 0x80000008",
    });
  });

  it.each<[string, FileReading | undefined, RegExp]>([
    ['without the device', undefined, /modprobe cpuid/],
    ['without permission', denied, /permission denied/],
    ['of too few bytes', bytes('short'), /5 bytes/],
  ])('%s is unknown', async (_, reading, because) => {
    const files = reading === undefined ? {} : { 'cpuid:8000001f': reading };
    expect((await readPreflight(host({ files }))).encryptionLeaf).toMatchObject({
      outcome: 'unknown',
      because: expect.stringMatching(because),
    });
  });
});

describe('the kernel log', () => {
  const kept = { '/var/log/dmesg': bytes('ccp: kept\n') };

  it('is what dmesg says', async () => {
    const readings = await readPreflight(host({ commands: { dmesg: bytes('[ 1.0] ccp: live\n') }, files: kept }));
    expect(readings.kernelLog).toEqual({ outcome: 'read', value: ['ccp: live'] });
  });

  it('is the log of the boot where dmesg is forbidden, and unknown without either', async () => {
    const forbidden = { dmesg: denied };
    expect((await readPreflight(host({ commands: forbidden, files: kept }))).kernelLog).toMatchObject({
      value: ['ccp: kept'],
    });
    expect((await readPreflight(host({ commands: forbidden }))).kernelLog).toEqual({
      outcome: 'unknown',
      because: 'dmesg: permission denied',
    });
  });
});

describe('/dev/sev', () => {
  it('is absent or there as stat says', async () => {
    expect((await readPreflight(host({}))).devSev.outcome).toBe('absent');
    const stat = { outcome: 'read', stat: { mode: 0o600, owner: 'root', group: 'root' } } as const;
    expect(await readPreflight(host({ stat }))).toMatchObject({
      devSev: { outcome: 'read' },
      devSevStat: { value: { mode: 0o600 } },
    });
  });

  it('that nobody may look at is unknown', async () => {
    const readings = await readPreflight(host({ stat: denied }));
    expect([readings.devSev, readings.devSevStat]).toEqual(
      Array(2).fill({ outcome: 'unknown', because: '/dev/sev: permission denied' }),
    );
  });
});

describe('the SEV firmware', () => {
  const stat = { outcome: 'read', stat: { mode: 0o660, owner: 'root', group: 'kvm' } } as const;
  const python = (printed: object) => host({ stat, commands: { python3: bytes(JSON.stringify(printed)) } });

  it('tells its state when it is asked, which is all that is asked of it', async () => {
    const status = Buffer.from([1, 55, 2, 1, 1, 0, 0, 29, 3, 0, 0, 0]);
    const scripted = python({
      answers: [{ errno: 0, status: 0, lengths: [12], outputs: [status.toString('base64')] }],
    });
    const run = vi.spyOn(scripted.shell, 'run');
    expect((await readPreflight(scripted)).platformStatus).toEqual({
      outcome: 'read',
      value: { api: '1.55', build: 29, state: 'WORKING', isEsEnabled: true, isExternallyOwned: true, guestCount: 3 },
    });
    const asked = run.mock.calls.flatMap(([[program, , , input]]) => (program === 'python3' ? [input] : []));
    expect(asked.map((input) => JSON.parse(input ?? '').commands)).toEqual([
      [{ command: 'PLATFORM_STATUS', lengths: [] }],
    ]);
  });

  it.each<[string, Host, RegExp]>([
    ['of a device that the user may not open', python({ unopened: 13 }), /cannot be opened \(errno 13\)/],
    [
      'that refuses',
      python({ answers: [{ errno: 5, status: 1, lengths: [12], outputs: [] }] }),
      /PLATFORM_STATUS failed/,
    ],
    ['of a host without Python', host({ stat }), /no python3/],
  ])('%s is unknown', async (_, scripted, because) => {
    expect((await readPreflight(scripted)).platformStatus).toEqual({
      outcome: 'unknown',
      because: expect.stringMatching(because),
    });
  });
});

describe('the module kvm_amd', () => {
  const parameters = '/sys/module/kvm_amd/parameters';

  it('is loaded when any of its parameters can be read, not loaded when all are absent, else unknown', async () => {
    const loaded = async (files: Record<string, FileReading>) => (await readPreflight(host({ files }))).kvmAmdLoaded;
    expect(await loaded({ [`${parameters}/npt`]: bytes('Y\n'), [`${parameters}/sev`]: denied })).toMatchObject({
      value: true,
    });
    expect(await loaded({})).toMatchObject({ value: false });
    expect((await loaded({ [`${parameters}/sev`]: denied })).outcome).toBe('unknown');
  });
});

describe('configuration in folders', () => {
  it('of modprobe is read from all of them', async () => {
    const folders = { '/etc/modprobe.d': ['sev.conf', 'README'], '/usr/lib/modprobe.d': ['kvm.conf'] };
    const files = {
      '/etc/modprobe.d/sev.conf': bytes('options kvm_amd sev=1\n'),
      '/etc/modprobe.d/README': bytes('options kvm_amd sev=0\n'),
      '/usr/lib/modprobe.d/kvm.conf': bytes('blacklist ccp\n'),
    };
    expect((await readPreflight(host({ folders, files }))).modprobe).toEqual({
      outcome: 'read',
      value: [
        { file: '/etc/modprobe.d/sev.conf', line: 'options kvm_amd sev=1' },
        { file: '/usr/lib/modprobe.d/kvm.conf', line: 'blacklist ccp' },
      ],
    });
  });

  it('of firmware skips what is no descriptor', async () => {
    const folder = '/usr/share/qemu/firmware';
    const files = { [`${folder}/1.json`]: bytes('{"features":["amd-sev"]}'), [`${folder}/2.json`]: bytes('{') };
    const readings = await readPreflight(host({ folders: { [folder]: ['1.json', '2.json'] }, files }));
    expect(readings.descriptors).toMatchObject({ value: [{ file: `${folder}/1.json`, features: ['amd-sev'] }] });
  });
});

describe('versions of packages', () => {
  it.each<[string, Scripted, Record<string, string>]>([
    ['dpkg', { commands: { 'dpkg-query': bytes('ovmf 2022.11-6\n') } }, { ovmf: '2022.11-6' }],
    [
      'rpm',
      { commands: { 'dpkg-query': bytes(''), rpm: bytes('edk2-ovmf 20231122-6\n') } },
      { 'edk2-ovmf': '20231122-6' },
    ],
    ['the files of dpkg', { files: { '/var/lib/dpkg/status': bytes('Package: ovmf\nVersion: 1\n') } }, { ovmf: '1' }],
  ])('come from %s', async (_, scripted, value) => {
    expect((await readPreflight(host(scripted))).packages).toEqual({ outcome: 'read', value });
  });

  it('are unknown where nobody can be asked', async () => {
    expect((await readPreflight(host({}))).packages.outcome).toBe('unknown');
  });
});

describe('locked memory', () => {
  const limits = bytes('Max locked memory         65536                65536                bytes\n');

  it('is that of the daemon of the system', async () => {
    const files = { '/run/virtqemud.pid': bytes('77\n'), '/proc/77/limits': limits };
    expect((await readPreflight(host({ files }))).memoryLock).toMatchObject({
      value: { daemon: 'virtqemud', soft: '65536' },
    });
  });

  it('is that of the daemon beside the socket of a session', async () => {
    const files = {
      '/x/libvirt/libvirtd.pid': bytes('78\n'),
      '/proc/78/limits': limits,
      '/run/libvirtd.pid': bytes('1'),
      '/proc/1/limits': bytes(''),
    };
    const uri = 'qemu+unix:///session?socket=/x/libvirt/libvirt-sock';
    const readings = await readPreflight(host({ files, uri }));
    expect(readings).toMatchObject({ isSession: true, memoryLock: { value: { daemon: 'libvirtd', soft: '65536' } } });
  });

  it('of a session is never that of the daemon of the system', async () => {
    const files = { '/run/libvirtd.pid': bytes('77\n'), '/proc/77/limits': limits };
    const { memoryLock } = await readPreflight(host({ files, uri: 'qemu:///session' }));
    expect(memoryLock).toMatchObject({ outcome: 'unknown', because: expect.stringContaining('no pid') });
  });
});
