import {
  answerOf,
  bearingOf,
  capabilitiesOf,
  GuestLauncher,
  type HostAnswer,
  judgeBegin,
  judgeSave,
  launchEach,
  MIGRATION_REFUSED,
  RUNNING,
  resetAndWait,
  scenario,
  startDefined,
} from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
/** VIR_MIGRATE_LIVE and VIR_MIGRATE_PEER2PEER */
const LIVE = 1;
const PEER_TO_PEER = 2;
/** A place on the PCI bus where no device is: nothing of the host's is given away, whatever the host answers. */
const NO_DEVICE =
  "<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0x0000' bus='0xff' slot='0x1f' function='0x7'/></source></hostdev>";
/** What hosts say that cannot pass devices through, and those that look for it. */
const NO_PASSTHROUGH = /host doesn't support passthrough of host PCI devices$|^Device 0000:ff:1f\.7 not found/;

scenario(
  {
    id: 'lifecycle-refused',
    title: 'What an encrypted guest cannot do is refused with its reason, and the guest runs on',
    source: [
      `${NOVA}: "live migration between hosts is not (yet) supported for SEV-encrypted instances"`,
      `${NOVA}: "attempts to suspend / resume an SEV-encrypted domain are not yet supported"`,
      `${NOVA}: a guest "cannot contain directly accessible host devices (PCI passthrough)"`,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      'save-refused': { title: "memory is not saved to a file, for QEMU's reason", source: NOVA },
      'managed-save-refused': { title: 'memory is not saved by libvirt either, for the same reason', source: NOVA },
      'memory-snapshot-refused': { title: 'no snapshot is taken of its memory, for the same reason', source: NOVA },
      'migration-refused': { title: 'live migration does not begin', source: NOVA },
      'p2p-migration-refused': { title: 'peer-to-peer migration does not begin', source: NOVA },
      'passthrough-refused': { title: 'a PCI device of the host is not attached', source: NOVA },
      'still-runs': { title: 'after each refusal the guest runs' },
      'es-reset-ends': {
        title: 'the reset of an SEV-ES guest ends it, because nobody can set its registers back',
        source: 'QEMU softmmu/runstate.c: "cpus are not resettable, terminating"',
      },
    },
  },
  async (context) => {
    const { host, facts, step, check, skipCheck, note } = context;
    const launcher = new GuestLauncher(context);
    const { name, xml } = launcher.define('sev', 'refused');
    const domain = await host.connection.defineDomain(xml);
    const bearings: Record<string, string> = {};
    const attempt = async (what: string, asking: () => Promise<unknown>): Promise<HostAnswer> => {
      const before = (await domain.state()).state;
      if (before === 'paused') await domain.resume();
      else if (before !== 'running') await startDefined(domain);
      const answer = await answerOf(asking());
      const { libvirt, qemu } = await bearingOf(domain);
      bearings[what] = libvirt === qemu ? libvirt : `${libvirt}, and QEMU says ${qemu}`;
      return answer;
    };
    const dom = () => ({ name, uuid: domain.uuid, id: domain.id });
    const none = new Uint8Array();
    const memoryFile = `/var/lib/libvirt/qemu/snapshot/${name}.memory`;
    const snapshot = `<domainsnapshot><memory snapshot='external' file='${memoryFile}'/></domainsnapshot>`;
    const { connection } = host;

    await step('save and snapshot', async () => {
      const save = () => domain.save(`/var/lib/libvirt/qemu/save/${name}.refused`);
      const managedSave = () => domain.managedSave();
      const takeSnapshot = () => domain.snapshotCreate(snapshot);
      const judged = async (what: string, asking: () => Promise<unknown>) =>
        judgeSave(await attempt(what, asking), facts.versions);
      check('save-refused', await judged('save', save));
      check('managed-save-refused', await judged('managed save', managedSave));
      check('memory-snapshot-refused', await judged('memory snapshot', takeSnapshot));
    });

    await step('migrate', async () => {
      const begin = () => connection.call('domainMigrateBegin3Params', { dom: dom(), params: [], flags: LIVE });
      const judged = judgeBegin(await attempt('migration', begin), facts.versions);
      if ('because' in judged) {
        for (const id of ['migration-refused', 'p2p-migration-refused']) skipCheck(id, judged.because);
        return;
      }
      check('migration-refused', judged);
      // QEMU's blocker is looked at before the other host, so that the host itself does for an address.
      const target = { dconnuri: 'qemu:///system', params: [], cookieIn: none, flags: LIVE | PEER_TO_PEER };
      const perform = () => connection.call('domainMigratePerform3Params', { dom: dom(), ...target });
      check('p2p-migration-refused', {
        expected: MIGRATION_REFUSED,
        actual: await attempt('peer-to-peer migration', perform),
      });
    });

    await step('pass a PCI device through', async () => {
      const answer = await attempt('passthrough', () => domain.attachDevice(NO_DEVICE));
      const text = 'text' in answer ? answer.text : 'accepted';
      check('passthrough-refused', { expected: 'refused', actual: text, passed: NO_PASSTHROUGH.test(text) });
      note(
        'Passthrough is asked for with a device that is not there: neither libvirt nor QEMU forbids it for SEV, so that ' +
          'the refusal tells of this host. nova must not build such a guest, which the rule HOSTDEV of domain conformance holds.',
      );
      check('still-runs', {
        expected: Object.fromEntries(Object.keys(bearings).map((what) => [what, RUNNING.libvirt])),
        actual: bearings,
      });
    });
    if ((await domain.state()).state !== 'shutoff') await domain.destroy();
    await domain.undefine({ nvram: true, managedSave: true, snapshots: true });

    await step('reset an SEV-ES guest', async () => {
      const { met, because } = capabilitiesOf(facts)['sev-es'];
      if (!met) return skipCheck('es-reset-ends', `needs sev-es: ${because}`);
      const [guest] = (await launchEach(launcher, 'sev-es', 'reset', 1)).guests;
      if (guest === undefined) return check('es-reset-ends', { expected: 'a running guest', actual: 'refused' });
      const isBooted = await resetAndWait(host.connection, guest.domain);
      const state = await guest.currentState();
      check('es-reset-ends', {
        expected: 'off',
        actual: isBooted ? 'booted again' : state,
        passed: state === 'gone' || state === 'shutoff',
      });
      await guest.stop();
    });
  },
);
