import { answerOf, GuestLauncher, type HostAnswer, launchEach, scenario } from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const BLOCKED = 'Requested operation is not valid: cannot migrate domain: SEV: Migration is not implemented';
const REFUSED = { code: 55, text: BLOCKED };
/** VIR_MIGRATE_LIVE */
const LIVE = 1;

scenario(
  {
    id: 'lifecycle-refused',
    title: 'What an encrypted guest cannot do is refused with its reason, and the guest runs on',
    source: [
      `${NOVA}: "live migration between hosts is not (yet) supported for SEV-encrypted instances"`,
      `${NOVA}: "attempts to suspend / resume an SEV-encrypted domain are not yet supported"`,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      'save-refused': { title: 'memory is not saved to a file', source: NOVA },
      'managed-save-refused': { title: 'memory is not saved by libvirt either', source: NOVA },
      'migration-refused': { title: 'live migration does not begin', source: NOVA },
      'still-runs': { title: 'after each refusal the guest runs' },
      'es-reset-ends': {
        title: 'the reset of an SEV-ES guest ends it, because nobody can set its registers back',
        source: 'QEMU softmmu/runstate.c: "cpus are not resettable, terminating"',
      },
    },
  },
  async (context) => {
    const { host, facts, step, check, skipCheck } = context;
    const launcher = new GuestLauncher(context);
    const { name, xml } = launcher.define('sev', 'refused');
    const domain = await host.connection.defineDomain(xml);
    const states: string[] = [];
    const attempt = async (asking: () => Promise<unknown>): Promise<HostAnswer> => {
      if ((await domain.state()).state !== 'running') await domain.start();
      const answer = await answerOf(asking());
      states.push((await domain.state()).state);
      return answer;
    };

    await step('save, save, migrate', async () => {
      check('save-refused', {
        expected: REFUSED,
        actual: await attempt(() => domain.save(`/var/lib/libvirt/qemu/save/${name}.refused`)),
      });
      check('managed-save-refused', { expected: REFUSED, actual: await attempt(() => domain.managedSave()) });
      const dom = { name, uuid: domain.uuid, id: domain.id };
      const begin = () => host.connection.call('domainMigrateBegin3Params', { dom, params: [], flags: LIVE });
      check('migration-refused', { expected: REFUSED, actual: await attempt(begin) });
      check('still-runs', { expected: ['running', 'running', 'running'], actual: states });
    });
    if ((await domain.state()).state !== 'shutoff') await domain.destroy();
    await domain.undefine({ nvram: true, managedSave: true });

    await step('reset an SEV-ES guest', async () => {
      if ((facts.domainCapabilities?.maxEsGuests ?? 0) === 0 || facts.kvmParameters.sevEs === false) {
        return skipCheck('es-reset-ends', 'the host has no slots for SEV-ES');
      }
      const [guest] = (await launchEach(launcher, 'sev-es', 'reset', 1)).guests;
      if (guest === undefined) return check('es-reset-ends', { expected: 'a running guest', actual: 'refused' });
      await guest.domain.reset();
      check('es-reset-ends', { expected: 'gone', actual: await guest.currentState() });
      await guest.stop();
    });
  },
);
