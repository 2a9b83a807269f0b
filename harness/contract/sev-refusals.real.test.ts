import { existsSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EmulatedHost, startEmulatedHost } from '../fakelibvirt/index.ts';
import { connect, type Domain, isRemoteError, type LibvirtConnection, parseLibvirtUri } from '../libvirt/index.ts';
import { type ShimmedLibvirtd, startShimmedLibvirtd } from './shimmed-libvirtd.ts';

/** Word for word: what a libvirtd says that believes in SEV, and what the emulated host says to the same call. */
const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../shared');
const shim = path.join(shared, 'oracles/qemu-sev-shim');
const haveShim = existsSync(shim);
if (!haveShim) {
  const what = `${shim} is missing: refusals of SEV guests cannot be held against a real libvirtd`;
  if (process.env.SEV_HARNESS_REQUIRE_SHARED === '1') throw new Error(what);
  console.warn(`\n! ${what}\n`);
}

/** VIR_MIGRATE_*, VIR_DUMP_*, VIR_DOMAIN_SNAPSHOT_CREATE_* and VIR_DOMAIN_AFFECT_* */
const LIVE = 1;
const PEER_TO_PEER = 2;
const DUMP_LIVE = 2;
const KDUMP_FORMAT = 1;
const DISK_ONLY = 16;
const SNAPSHOT_LIVE = 256;
const AFFECT_CONFIG = 2;

interface Side {
  readonly connection: LibvirtConnection;
  /** A folder for files on that host. */
  readonly folder: string;
}

interface Guest {
  readonly side: Side;
  readonly domain: Domain;
}

type Call = readonly [what: string, ask: (guest: Guest) => Promise<unknown>];

/** A file that hosts have; nobody reads it. */
const EMPTY_DISK = '/etc/hostname';

const dom = ({ name, uuid, id }: Domain) => ({ name, uuid, id });
const disk = (file: string, target: string, bus: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${file}'/><target dev='${target}' bus='${bus}'/></disk>`;
const attach =
  (target: string, bus: string): Call[1] =>
  async ({ domain }) => {
    await domain.attachDevice(disk(EMPTY_DISK, target, bus));
  };
const snapshot =
  (xml: (folder: string) => string, flags = 0): Call[1] =>
  ({ side, domain }) =>
    domain.snapshotCreate(xml(side.folder), flags);
const memoryInto = (folder: string) =>
  `<domainsnapshot><name>m</name><memory snapshot='external' file='${folder}/memory'/></domainsnapshot>`;
const dump =
  (flags: number): Call[1] =>
  ({ side, domain }) =>
    side.connection.call('domainCoreDump', { dom: dom(domain), to: `${side.folder}/core`, flags });
const begin: Call[1] = ({ side, domain }) =>
  side.connection.call('domainMigrateBegin3Params', { dom: dom(domain), params: [], flags: LIVE });
const perform: Call[1] = ({ side, domain }) =>
  side.connection.call('domainMigratePerform3Params', {
    dom: dom(domain),
    dconnuri: 'qemu+unix:///session?socket=/nonexistent',
    params: [],
    cookieIn: new Uint8Array(),
    flags: LIVE | PEER_TO_PEER,
  });
const SECRET = { header: 'QUJD', secret: 'QUJD' };
const PCI =
  "<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0' bus='0xff' slot='0x1f' function='7'/></source></hostdev>";

const moving: readonly Call[] = [
  ['save', ({ side, domain }) => domain.save(`${side.folder}/save`)],
  ['managed save', ({ domain }) => domain.managedSave()],
  ['begin a migration', begin],
  ['migrate peer to peer', perform],
  ['dump', dump(0)],
  ['dump live', dump(DUMP_LIVE)],
  ['snapshot of memory into a file', snapshot(memoryInto)],
  ['snapshot of memory while it runs', snapshot(memoryInto, SNAPSHOT_LIVE)],
];

const others: readonly Call[] = [
  ['snapshot of memory without disks', snapshot(() => '<domainsnapshot><name>i</name></domainsnapshot>')],
  ['snapshot of no disk', snapshot(() => '<domainsnapshot><name>d</name></domainsnapshot>', DISK_ONLY)],
  [
    'snapshot of an unknown disk',
    snapshot(() => "<domainsnapshot><disks><disk name='sdz' snapshot='external'/></disks></domainsnapshot>", DISK_ONLY),
  ],
  ['inject a secret while it runs', ({ domain }) => domain.setLaunchSecurityState(SECRET)],
  [
    'dump in another format than ELF',
    ({ side, domain }) =>
      side.connection.call('domainCoreDumpWithFormat', {
        dom: dom(domain),
        to: `${side.folder}/core`,
        dumpformat: KDUMP_FORMAT,
        flags: 0,
      }),
  ],
  ['start', ({ domain }) => domain.start()],
  ['plug in a PCI device of the host', ({ domain }) => domain.attachDevice(PCI)],
  ['plug in a disk on SATA', attach('sda', 'sata')],
  ['plug in an IDE disk', attach('hda', 'ide')],
  ['plug in a floppy disk', attach('fda', 'fdc')],
  ['picture of a screen that is not there', ({ domain }) => domain.screenshot(7)],
  [
    'unplug a disk that is not there',
    ({ side, domain }) =>
      side.connection.call('domainDetachDeviceFlags', { dom: dom(domain), xml: disk('/x', 'sdq', 'scsi'), flags: 1 }),
  ],
];

const whileOff: readonly Call[] = [
  ['launch security information', ({ domain }) => domain.launchSecurityInfo()],
  ['inject a secret', ({ domain }) => domain.setLaunchSecurityState(SECRET)],
  ['save', ({ side, domain }) => domain.save(`${side.folder}/save`)],
  ['managed save', ({ domain }) => domain.managedSave()],
  ['begin a migration', begin],
  ['dump', dump(0)],
  ['restore', ({ side }) => side.connection.call('domainRestore', { from: '/nonexistent/save' })],
  [
    'start with a PCI device of the host',
    async ({ side, domain }) => {
      await side.connection.call('domainAttachDeviceFlags', { dom: dom(domain), xml: PCI, flags: AFFECT_CONFIG });
      await domain.start();
    },
  ],
];

/** What a host said to a call, and how the guest was afterwards. */
interface Answer {
  readonly said: string;
  readonly after: string;
}

describe.runIf(haveShim)('SEV guests of a real libvirtd behind the shim, and of the emulated host', () => {
  let libvirtd: ShimmedLibvirtd;
  let emulated: EmulatedHost;
  /** What each side answered, by question. A start takes seconds, so that all questions of a kind go to one guest. */
  const answers: Record<'real' | 'fake', Map<string, Answer>> = { real: new Map(), fake: new Map() };

  beforeAll(async () => {
    const uri = process.env.SEV_HARNESS_REAL_URI;
    const target = uri === undefined ? undefined : parseLibvirtUri(uri);
    if (target?.transport !== 'unix' || target.socket === undefined)
      throw new Error('SEV_HARNESS_REAL_URI is not set: run npm run test:real');
    libvirtd = await startShimmedLibvirtd(shim, target.socket);
    emulated = await startEmulatedHost({ profile: 'naples' });
    await questionAll(answers.real, libvirtd.uri, 'qemu', libvirtd.folder);
    await questionAll(answers.fake, emulated.uri, 'kvm', '/var/tmp');
  }, 120_000);
  afterAll(async () => {
    await emulated?.close();
    await libvirtd?.[Symbol.asyncDispose]();
  });

  const both = (question: string) => ({ real: answers.real.get(question), fake: answers.fake.get(question) });

  test.each(moving)('%s: refused because SEV cannot be migrated, and the guest runs on', (what) => {
    const { real, fake } = both(`running: ${what}`);
    expect(real).toEqual({
      said: '55/10 Requested operation is not valid: cannot migrate domain: SEV: Migration is not implemented',
      after: expect.stringMatching(/^running /),
    });
    expect(fake).toEqual(real);
  });

  test.each(moving)('%s of a paused guest: refused, and the guest stays paused', (what) => {
    const { real, fake } = both(`paused: ${what}`);
    expect(real).toEqual({ said: expect.stringContaining('cannot migrate domain'), after: 'paused (user)' });
    expect(fake).toEqual(real);
  });

  test.each(others)('%s: refused in the same words', (what) => {
    const { real, fake } = both(`running: ${what}`);
    expect(real).toEqual({ said: expect.stringMatching(/^\d+\/\d+ ./), after: expect.stringMatching(/^running /) });
    expect(fake).toEqual(real);
  });

  test.each(whileOff)('%s of a guest that is off: refused in the same words', (what) => {
    const { real, fake } = both(`off: ${what}`);
    expect(real).toEqual({ said: expect.stringMatching(/^\d+\/\d+ ./), after: expect.stringMatching(/^shutoff /) });
    expect(fake).toEqual(real);
  });

  test('a secret for a guest without SEV is refused in the same words', () => {
    const { real, fake } = both('plain: inject a secret');
    expect(real).toMatchObject({ said: expect.stringContaining('only supported in SEV-enabled domains') });
    expect(fake).toEqual(real);
  });
});

/** Puts every question to a guest of one host, in one order. */
async function questionAll(
  answers: Map<string, Answer>,
  uri: string,
  virtType: 'kvm' | 'qemu',
  folder: string,
): Promise<void> {
  await using connection = await connect(uri);
  const cbitpos = (await connection.sevInfo()).cbitpos ?? 0;
  const sev = `<launchSecurity type='sev'><cbitpos>${cbitpos}</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x0003</policy></launchSecurity>`;
  const side = { connection, folder };
  const withGuest = async (name: string, security: string, use: (guest: Guest) => Promise<void>) => {
    const domain = await connection.defineDomain(guestXml(virtType, `sevh-shim-${process.pid}-${name}`, security));
    try {
      await use({ side, domain });
    } finally {
      if (await domain.isActive()) await domain.destroy();
      await domain.undefine({ managedSave: true, snapshots: true, nvram: true });
    }
  };
  const put = async (kind: string, calls: readonly Call[], guest: Guest) => {
    for (const [what, ask] of calls) answers.set(`${kind}: ${what}`, await answerTo(guest, ask));
  };
  await withGuest('off', sev, (guest) => put('off', whileOff, guest));
  await withGuest('sev', sev, async (guest) => {
    await guest.domain.start();
    await put('running', [...moving, ...others], guest);
    await guest.domain.suspend();
    await put('paused', moving, guest);
  });
  await withGuest('plain', '', async (guest) => {
    await guest.domain.start();
    const inject: Call = ['inject a secret', ({ domain }) => domain.setLaunchSecurityState(SECRET)];
    await put('plain', [inject], guest);
  });
}

async function answerTo({ side, domain }: Guest, ask: Call[1]): Promise<Answer> {
  let said = 'accepted';
  try {
    await ask({ side, domain });
  } catch (error) {
    if (!isRemoteError(error)) throw error;
    const { code, domain: errorDomain, message } = error.remote;
    said = `${code}/${errorDomain} ${message?.replaceAll(side.folder, 'FOLDER').replace(domain.uuid, 'UUID')}`;
  }
  const { state, reason } = await domain.state();
  return { said, after: `${state} (${reason})` };
}

function guestXml(virtType: 'kvm' | 'qemu', name: string, security: string): string {
  return `<domain type='${virtType}'><name>${name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
    <devices><serial type='pty'/><video><model type='vga'/></video></devices>${security}</domain>`;
}
