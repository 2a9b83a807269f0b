import {
  answerOf,
  bearingOf,
  createOwnerSession,
  DiskImages,
  GuestLauncher,
  kindPolicy,
  PAUSED,
  RUNNING,
  readPlatform,
  resetAndWait,
  scenario,
  sessionText,
  startDefined,
  usualKind,
} from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const NOT_LIMITED = `${NOVA}: "the following actions are not expected to be limited when SEV encryption is used"`;
/** VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA, _DISK_ONLY and _ATOMIC */
const DISK_SNAPSHOT = 4 | 16 | 128;
const NEED_A_GUEST = [
  'pauses',
  'resumes',
  'disk-snapshot',
  'scsi-disk-attaches',
  'consoles-open',
  'reboots',
  'sata-disk-attaches',
  'moves-cold',
] as const;
const PNG_MAGIC = '89504e47';

const disk = (file: string, target: string, bus: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${file}'/><target dev='${target}' bus='${bus}'/></disk>`;

scenario(
  {
    id: 'lifecycle-allowed',
    title: 'What an encrypted guest can do like any other, it does',
    source: [
      `${NOT_LIMITED}: cold migration, snapshot of the disk, attaching volumes but not on IDE, consoles`,
      `${NOVA}: "using virtio-scsi or SATA for the boot disk works as expected"`,
    ],
    needs: [],
    maturity: 'experimental',
    checks: {
      starts: { title: 'a guest with its disk on virtio-scsi starts', source: NOVA },
      pauses: { title: 'it pauses' },
      resumes: { title: 'it goes on where it stood' },
      reboots: {
        title: 'a reset boots it again, in the same QEMU',
        source: 'QEMU target/i386/sev.c: only SEV-ES forbids it',
      },
      'disk-snapshot': { title: 'a snapshot of its disk is taken while it runs', source: NOT_LIMITED },
      'scsi-disk-attaches': { title: 'a second disk is plugged in on virtio-scsi', source: NOT_LIMITED },
      'consoles-open': { title: 'serial console, VNC and a picture of the screen are there', source: NOT_LIMITED },
      'sata-disk-attaches': {
        title: 'a disk on SATA is attached for the next start, which works',
        source: NOT_LIMITED,
      },
      'moves-cold': {
        title: 'stopped, it starts elsewhere from its definition and a new session',
        source: `${NOT_LIMITED}: "Cold migration or shelve, since they power off the VM before the operation"`,
      },
    },
  },
  async (context) => {
    const { host, facts, step, check, skipCheck, note, evidence } = context;
    const kind = usualKind(context);
    const launcher = new GuestLauncher(context);
    const images = await step('make disks', () => DiskImages.open(context));
    const [boot, second, third] = [
      await images.create('boot'),
      await images.create('second'),
      await images.create('third'),
    ];
    const iommu = kind === 'plain' ? {} : { driver: { '@iommu': 'on' } };
    const devices = {
      controller: { '@type': 'scsi', '@index': 0, '@model': 'virtio-scsi', ...iommu },
      disk: {
        '@type': 'file',
        '@device': 'disk',
        driver: { '@name': 'qemu', '@type': 'qcow2' },
        source: { '@file': boot },
        target: { '@dev': 'sda', '@bus': 'scsi' },
      },
      graphics: { '@type': 'vnc', '@port': -1, '@autoport': 'yes' },
      video: { model: { '@type': 'vga' } },
    };
    const { name, xml } = launcher.define(kind, 'allowed', { devices });
    const domain = await host.connection.defineDomain(xml);
    const started = await step('start', () => answerOf(startDefined(domain)));
    check('starts', {
      expected: { answer: { accepted: true }, ...RUNNING },
      actual: { answer: started, ...(await bearingOf(domain)) },
    });
    if (!('accepted' in started)) {
      for (const id of NEED_A_GUEST) skipCheck(id, 'the guest did not start');
      return;
    }

    await step('pause and resume', async () => {
      await domain.suspend();
      check('pauses', { expected: { ...PAUSED }, actual: { ...(await bearingOf(domain)) } });
      const resumed = await answerOf(domain.resume());
      check('resumes', {
        expected: { ...RUNNING },
        actual: { ...(await bearingOf(domain)) },
        because: `libvirt answered ${JSON.stringify(resumed)}`,
      });
      if ((await domain.state()).state !== 'running') {
        await domain.destroy();
        await domain.start();
      }
    });

    await step('disk snapshot', async () => {
      const overlay = `${images.folder}/boot.snapshot.qcow2`;
      const snapshot = `<domainsnapshot><name>${name}</name><disks><disk name='sda' snapshot='external'><source file='${overlay}'/></disk></disks></domainsnapshot>`;
      const answer = await answerOf(domain.snapshotCreate(snapshot, DISK_SNAPSHOT));
      const isWritten = (await domain.xml()).includes(`file='${overlay}'`);
      const actual = { answer, 'goes on in the new file': isWritten, ...(await bearingOf(domain)) };
      check('disk-snapshot', {
        expected: { answer: { accepted: true }, 'goes on in the new file': true, ...RUNNING },
        actual,
      });
    });

    await step('plug in a disk on virtio-scsi', async () => {
      const answer = await answerOf(domain.attachDevice(disk(second, 'sdb', 'scsi')));
      const isThere = (await domain.xml()).includes(`file='${second}'`);
      check('scsi-disk-attaches', {
        expected: { answer: { accepted: true }, 'is there': true, ...RUNNING },
        actual: { answer, 'is there': isThere, ...(await bearingOf(domain)) },
      });
    });

    await step('consoles', async () => {
      const console = await answerOf(domain.openConsole().then((stream) => stream.close()));
      const screen = await domain.screenshot();
      const isPicture = /^(89504e47|50360a|50360d)/.test(Buffer.from(screen.bytes.subarray(0, 4)).toString('hex'));
      if (Buffer.from(screen.bytes.subarray(0, 4)).toString('hex') === PNG_MAGIC)
        evidence.attach('screen.png', screen.bytes, 'image/png');
      const port = Number(/<graphics type='vnc' port='(\d+)'/.exec(await domain.xml())?.[1] ?? 0);
      check('consoles-open', {
        expected: { serial: { accepted: true }, picture: true, vnc: true },
        actual: { serial: console, picture: isPicture, vnc: port >= 5900 },
      });
    });

    await step('reset', async () => {
      const { id } = domain;
      const isAnnounced = await resetAndWait(host.connection, domain);
      const actual = { announced: isAnnounced, ...(await bearingOf(domain)), 'same run': domain.id === id };
      check('reboots', { expected: { announced: true, ...RUNNING, 'same run': true }, actual });
    });

    await step('a disk on SATA', async () => {
      if ((await domain.state()).state === 'running') {
        const plugged = await answerOf(domain.attachDevice(disk(third, 'sdc', 'sata')));
        note(
          `Plugged into the running guest, whatever protects its memory: ${'text' in plugged ? plugged.text : 'accepted'}`,
        );
        await domain.destroy();
      }
      const attached = await answerOf(domain.attachDevice(disk(third, 'sdc', 'sata'), 'config'));
      const started = await answerOf(domain.start());
      const isThere = (await domain.xml()).includes(`file='${third}'`);
      check('sata-disk-attaches', {
        expected: { attached: { accepted: true }, started: { accepted: true }, 'is there': true, ...RUNNING },
        actual: { attached, started, 'is there': isThere, ...(await bearingOf(domain)) },
      });
    });

    await step('cold migration', async () => {
      if ((await domain.state()).state !== 'shutoff') await domain.destroy();
      await domain.undefine({ nvram: true });
      note('There is one host here: elsewhere is the same host again, which knows nothing of the guest any more.');
      const session =
        kind === 'plain'
          ? {}
          : { session: sessionText(createOwnerSession(await readPlatform(host, facts), kindPolicy(kind))) };
      const moved = await launcher.launch(kind, 'moved', { devices, ...session });
      check('moves-cold', {
        expected: 'running',
        actual: moved.outcome === 'started' ? await moved.guest.currentState() : moved.refusal.text,
      });
      if (moved.outcome === 'started') await moved.guest.stop();
    });
  },
);
