import {
  type AttestedGuest,
  expectedDigests,
  GuestLauncher,
  isMeasured,
  launchAttested,
  launchAttestedOrFail,
  readClaims,
  readGuestFirmware,
  readPlatform,
  scenario,
  shortcutsOf,
} from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const MEASURE = 'SEV API specification, section 6.5 LAUNCH_MEASURE';

scenario(
  {
    id: 'launch-measure',
    title: 'A guest owner who made a session for this host can verify what was launched, down to the root of its keys',
    source: [
      `${NOVA}: "the ability for the cloud user to verify the attestation which SEV can provide using the LAUNCH_MEASURE firmware call"`,
      `${NOVA}: "The cloud user can verify all of this before providing additional secrets to the VM, for example storage decryption keys"`,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      'chain-verifies': {
        title: "the host's keys lead to a trusted root: PDH, PEK, CEK, ASK, ARK",
        source: 'SEV API specification, appendix C',
      },
      'measurement-verifies': {
        title: 'the firmware measured exactly the guest firmware that lies on the host, under the policy of the owner',
        source: MEASURE,
      },
      'es-measurement-verifies': {
        title: 'the measurement of an SEV-ES guest covers the registers of its vCPU as well',
        source: MEASURE,
      },
      'nothing-left-out': {
        title: 'no reading that leaves out policy, version, build, nonce, a page or the order of pages verifies',
        source: MEASURE,
      },
      'nonce-fresh': { title: 'every launch has a nonce of its own', source: MEASURE },
      'measurement-stays': { title: 'the measurement of a launch is the same after the guest has run' },
    },
  },
  async (context) => {
    const { host, facts, step, check, skipCheck, note, evidence } = context;
    const launcher = new GuestLauncher(context);
    await launcher.assertMemoryFor(3);
    const platform = await step("read and verify the host's certificates", async () => {
      const read = await readPlatform(host, facts);
      if (read.chain.verdict === 'incomplete') {
        skipCheck('chain-verifies', "libvirt gives the CEK unsigned; `attest` fetches AMD's signature on it");
      } else {
        const broken = read.chain.checks.filter((row) => row.outcome === 'failed').map((row) => row.id);
        check('chain-verifies', {
          expected: { verdict: 'valid', broken: [] },
          actual: { verdict: read.chain.verdict, broken },
        });
      }
      return read;
    });
    const { path, image } = await readGuestFirmware(host, facts);
    note(`guest firmware ${path}, ${image.length} bytes`);

    const guests = await step('launch two SEV guests, paused', async () => {
      const launched: AttestedGuest[] = [];
      for (const role of ['measured', 'again']) {
        launched.push(await launchAttestedOrFail(launcher, platform, 'sev', role));
      }
      return launched;
    });
    const digests = await expectedDigests(host, 'sev', image);
    const verified = (one: AttestedGuest, of: typeof digests) => of.some((digest) => isMeasured(one, digest));
    check('measurement-verifies', { expected: [true, true], actual: guests.map((one) => verified(one, digests)) });
    const [first] = guests;
    if (first !== undefined) {
      evidence.attach(
        'launch.json',
        JSON.stringify({
          ...first.claims.context,
          measurement: Buffer.from(first.claims.measurement).toString('base64'),
        }),
        'application/json',
      );
      check('nothing-left-out', { expected: [], actual: shortcutsOf(first, image) });
    }
    const nonces = guests.map(({ claims }) => Buffer.from(claims.measurement.subarray(32)).toString('hex'));
    check('nonce-fresh', { expected: nonces.length, actual: new Set(nonces).size });

    await step('let the guests run', async () => {
      const after = [];
      for (const { guest } of guests) {
        await guest.domain.resume();
        after.push(Buffer.from((await readClaims(guest)).measurement).toString('hex'));
      }
      const before = guests.map(({ claims }) => Buffer.from(claims.measurement).toString('hex'));
      check('measurement-stays', { expected: before, actual: after });
    });
    for (const { guest } of guests) await guest.stop();

    await step('launch an SEV-ES guest', async () => {
      if ((facts.domainCapabilities?.maxEsGuests ?? 0) === 0 || facts.kvmParameters.sevEs === false) {
        return skipCheck('es-measurement-verifies', 'the host has no slots for SEV-ES');
      }
      const es = await launchAttested(launcher, platform, 'sev-es', 'es');
      if ('refusal' in es) return check('es-measurement-verifies', { expected: 'started', actual: es.refusal.text });
      const of = await expectedDigests(host, 'sev-es', image);
      check('es-measurement-verifies', { expected: true, actual: verified(es, of) });
      await es.guest.stop();
    });
  },
);
