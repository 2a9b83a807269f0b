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
    kill: async () => undefined,
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
    const largest = registers(0x80000023, 0, 0, 0);
    const files = reading === undefined ? {} : { 'cpuid:80000000': largest, 'cpuid:8000001f': reading };
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
  it('of modprobe is read from all of its folders', async () => {
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

  it('of modprobe in /etc counts instead of a file of the same name that was shipped', async () => {
    const [own, shipped] = ['/etc/modprobe.d', '/usr/lib/modprobe.d'];
    const files = {
      [`${own}/kvm.conf`]: bytes(''),
      [`${shipped}/kvm.conf`]: bytes('options kvm_amd sev=0\n'),
      [`${shipped}/ccp.conf`]: bytes('options ccp debug=1\n'),
    };
    const folders = { [own]: ['kvm.conf'], [shipped]: ['kvm.conf', 'ccp.conf'] };
    expect((await readPreflight(host({ folders, files }))).modprobe).toMatchObject({
      value: [{ file: `${shipped}/ccp.conf` }],
    });
  });

  it('of which a file cannot be read is named, with what the others say', async () => {
    const folders = { '/etc/modprobe.d': ['a.conf', 'b.conf'], '/usr/share/qemu/firmware': ['1.json'] };
    const files = {
      '/etc/modprobe.d/a.conf': denied,
      '/etc/modprobe.d/b.conf': bytes('options kvm_amd sev=1\n'),
      '/usr/share/qemu/firmware/1.json': denied,
    };
    const readings = await readPreflight(host({ folders, files }));
    expect(readings.modprobe).toMatchObject({ value: [{ line: 'options kvm_amd sev=1' }] });
    expect(readings.descriptors).toEqual({ outcome: 'read', value: [] });
    expect(readings.unreadFiles).toEqual({
      modprobe: ['/etc/modprobe.d/a.conf: permission denied'],
      descriptors: ['/usr/share/qemu/firmware/1.json: permission denied'],
    });
  });

  it('of firmware says what is no descriptor, and lets /etc switch one off', async () => {
    const [shipped, own] = ['/usr/share/qemu/firmware', '/etc/qemu/firmware'];
    const descriptor = bytes('{"features":["amd-sev"]}');
    const files = {
      [`${shipped}/1.json`]: descriptor,
      [`${shipped}/2.json`]: bytes('{'),
      [`${shipped}/3.json`]: descriptor,
      [`${own}/3.json`]: bytes(''),
    };
    const readings = await readPreflight(
      host({ folders: { [shipped]: ['1.json', '2.json', '3.json'], [own]: ['3.json'] }, files }),
    );
    expect(readings.descriptors).toMatchObject({ value: [{ file: `${shipped}/1.json`, features: ['amd-sev'] }] });
    expect(readings.unreadFiles.descriptors).toEqual([`${shipped}/2.json: not a firmware descriptor`]);
  });
});

describe('the misc cgroup', () => {
  const counts = async (root: string, files: Record<string, FileReading>, names: readonly string[] = []) => {
    const readings = await readPreflight(host({ files, folders: { [root]: names } }));
    return [readings.miscCapacity, readings.miscCurrent];
  };
  const capacity = bytes('sev 15\nsev_es 0\n');

  it.each(['/sys/fs/cgroup', '/sys/fs/cgroup/misc', '/sys/fs/cgroup/unified'])('is found at %s', async (root) => {
    const files = { [`${root}/misc.capacity`]: capacity, [`${root}/misc.current`]: bytes('sev 3\nsev_es 0\n') };
    expect(await counts(root, files)).toMatchObject([{ value: { sev: 15 } }, { value: { sev: 3 } }]);
  });

  it('without misc.current at its root has in use what the groups in it have', async () => {
    const root = '/sys/fs/cgroup';
    const files = {
      [`${root}/misc.capacity`]: capacity,
      [`${root}/machine.slice/misc.current`]: bytes('sev 3\nsev_es 1\n'),
      [`${root}/system.slice/misc.current`]: bytes('sev 2\n'),
    };
    const names = ['cgroup.procs', 'machine.slice', 'system.slice'];
    expect(await counts(root, files, names)).toMatchObject([{}, { value: { sev: 5, sev_es: 1 } }]);
    const closed = { ...files, [`${root}/system.slice/misc.current`]: denied };
    expect(await counts(root, closed, names)).toMatchObject([{}, { outcome: 'unknown' }]);
    expect(await counts(root, { [`${root}/misc.capacity`]: capacity }, names)).toMatchObject([
      {},
      { outcome: 'unknown' },
    ]);
  });

  it('is absent where no hierarchy has it, and unknown where one cannot be read', async () => {
    expect(await counts('/sys/fs/cgroup', {})).toMatchObject([{ outcome: 'absent' }, { outcome: 'absent' }]);
    expect(await counts('/sys/fs/cgroup', { '/sys/fs/cgroup/misc.capacity': denied })).toMatchObject([
      { outcome: 'unknown' },
      { outcome: 'unknown' },
    ]);
  });
});

describe('files that stand for one another', () => {
  it('machine.slice is unlimited only where nobody hides a limit', async () => {
    const v2 = '/sys/fs/cgroup/machine.slice/memory.max';
    const v1 = '/sys/fs/cgroup/memory/machine.slice/memory.limit_in_bytes';
    const max = async (files: Record<string, FileReading>) =>
      (await readPreflight(host({ files }))).machineSlice.max.outcome;
    expect(await max({ [v1]: bytes('4096\n') })).toBe('read');
    expect(await max({ [v2]: denied })).toBe('unknown');
    expect(await max({ [v1]: denied })).toBe('unknown');
    expect(await max({})).toBe('absent');
  });

  it("AppArmor's abstraction is unknown where what the host adds to it is", async () => {
    const [own, added] = ['abstractions/libvirt-qemu', 'local/abstractions/libvirt-qemu'];
    const text = async (files: Record<string, FileReading>) => (await readPreflight(host({ files }))).appArmorQemu;
    const base = { [`/etc/apparmor.d/${own}`]: bytes('/dev/kvm rw,\n') };
    expect(await text(base)).toEqual({ outcome: 'read', value: '/dev/kvm rw,' });
    expect(await text({ ...base, [`/etc/apparmor.d/${added}`]: bytes('/dev/sev rw,\n') })).toMatchObject({
      value: '/dev/kvm rw,\n/dev/sev rw,',
    });
    expect((await text({ ...base, [`/etc/apparmor.d/${added}`]: denied })).outcome).toBe('unknown');
    const folder = `/etc/apparmor.d/${own}.d`;
    const withFolder = async (file: FileReading) =>
      (await readPreflight(host({ files: { ...base, [`${folder}/sev`]: file }, folders: { [folder]: ['sev'] } })))
        .appArmorQemu;
    expect(await withFolder(bytes('/dev/sev rw,\n'))).toMatchObject({ value: '/dev/kvm rw,\n/dev/sev rw,\n' });
    expect((await withFolder(denied)).outcome).toBe('unknown');
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

  it.each([
    ['000001ffffffffff', true],
    ['000001fffeffffff', false],
  ])('may be raised by a daemon of capabilities %s: %s', async (capabilities, mayRaise) => {
    const status = bytes(`Name:\tlibvirtd\nCapEff:\t${capabilities}\nCapBnd:\t000001ffffffffff\n`);
    const files = { '/run/libvirtd.pid': bytes('77'), '/proc/77/limits': limits, '/proc/77/status': status };
    expect((await readPreflight(host({ files }))).memoryLock).toMatchObject({ value: { mayRaise } });
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
