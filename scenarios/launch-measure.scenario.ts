import {
  type AttestedGuest,
  answerOf,
  capabilitiesOf,
  computeLaunchDigest,
  type DirectBoot,
  expectedEsDigests,
  findBootFiles,
  findMeasuredBootImage,
  type GuestFirmwareImage,
  GuestLauncher,
  isMeasured,
  kindPolicy,
  launchAttested,
  launchAttestedOrFail,
  measuredBootDigest,
  type Platform,
  readClaims,
  readGuestFirmware,
  readOtherGuestFirmware,
  readPlatform,
  type ScenarioContext,
  scenario,
  shortcutsOf,
} from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const MEASURE = 'SEV API specification, section 6.5 LAUNCH_MEASURE';
const KERNEL_HASHES = 'libvirt, "Domain XML format", Launch Security: kernelHashes';
const LIBVIRT_INFO = 'libvirt, virDomainGetLaunchSecurityInfo';
const QUERY_SEV =
  'QEMU, query-sev: state "launch-secret" is "guest is waiting for launch secret", "running" comes after';
const OPERATION_INVALID = 55;

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
      'guest-firmware-measured': {
        title: 'another guest firmware has another digest: its own verifies, and that of the first does not',
        source: MEASURE,
      },
      'policy-measured': {
        title: 'another policy gives another measurement: its own verifies, and that of the first does not',
        source: MEASURE,
      },
      'boot-files-measured': {
        title: 'another kernel, initrd or command line of a measured direct boot has another digest',
        source: KERNEL_HASHES,
      },
      'early-refused': {
        title: 'a guest that does not run yet has no measurement, and libvirt says why',
        source: LIBVIRT_INFO,
      },
      'late-told': {
        title: 'of a guest that has run QEMU says so: its measurement is still told, and too late to rely on',
        source: QUERY_SEV,
      },
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
    const usual = await readGuestFirmware(host, facts);
    const { path, image } = usual;
    note(`guest firmware ${path}, ${image.length} bytes`);
    await step('ask for the measurement of a guest that does not run', () => checkEarly(context, launcher));

    const guests = await step('launch two SEV guests, paused', async () => {
      const launched: AttestedGuest[] = [];
      for (const role of ['measured', 'again']) {
        launched.push(await launchAttestedOrFail(launcher, platform, 'sev', role));
      }
      return launched;
    });
    const digest = computeLaunchDigest({ guestFirmware: image });
    check('measurement-verifies', { expected: [true, true], actual: guests.map((one) => isMeasured(one, digest)) });
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
      const states = [];
      for (const { guest } of guests) {
        states.push(await readLaunchState(guest));
        await guest.domain.resume();
        after.push(Buffer.from((await readClaims(guest)).measurement).toString('hex'));
        await guest.domain.suspend();
        states.push(await readLaunchState(guest));
      }
      const before = guests.map(({ claims }) => Buffer.from(claims.measurement).toString('hex'));
      check('measurement-stays', { expected: before, actual: after });
      check('late-told', { expected: guests.flatMap(() => ['launch-secret', 'running']), actual: states });
    });
    for (const { guest } of guests) await guest.stop();

    await step('launch with another guest firmware', () => checkFirmware(context, launcher, platform, usual));
    await step('launch under another policy', async () => {
      const policy = kindPolicy('sev') & ~NOKS;
      const other = await launchAttestedOrFail(launcher, platform, 'sev', 'policy', { policy });
      const under = (value: number) => isMeasured(other, digest, { context: { policy: value } });
      check('policy-measured', {
        expected: ONLY_ITS_OWN,
        actual: { own: under(policy), first: under(kindPolicy('sev')) },
      });
      await other.guest.stop();
    });
    await step('launch with measured kernels, initrds and command lines', () =>
      checkBootFiles(context, launcher, platform),
    );

    await step('launch an SEV-ES guest', async () => {
      const { met, because } = capabilitiesOf(facts)['sev-es'];
      if (!met) return skipCheck('es-measurement-verifies', `needs sev-es: ${because}`);
      const es = await launchAttested(launcher, platform, 'sev-es', 'es');
      if ('refusal' in es) return check('es-measurement-verifies', { expected: 'started', actual: es.refusal.text });
      const known = await expectedEsDigests(host, image);
      const found = known.find((one) => isMeasured(es, one.digest));
      if (found !== undefined) note(`the SEV-ES measurement is over a VMSA ${found.vmsa}`);
      check('es-measurement-verifies', {
        expected: 'verifies',
        actual: found === undefined ? 'does not verify' : 'verifies',
        ...(found === undefined ? { because: `tried a VMSA ${known.map(({ vmsa }) => vmsa).join('; ')}` } : {}),
      });
      await es.guest.stop();
    });
  },
);

/** Key sharing is allowed without it, which no guest here makes use of. */
const NOKS = 1 << 1;
const ONLY_ITS_OWN = { own: true, first: false };

/** What `query-sev` says of the launch. */
async function readLaunchState({ domain }: AttestedGuest['guest']): Promise<string> {
  const { state } = (await domain.monitorCommand({ execute: 'query-sev' })) as { state?: string };
  return state ?? 'unknown';
}

async function checkEarly({ host, check, evidence }: ScenarioContext, launcher: GuestLauncher): Promise<void> {
  const domain = await host.connection.defineDomain(launcher.define('sev', 'early').xml);
  const answer = await answerOf(domain.launchSecurityInfo());
  await domain.undefine({ nvram: true });
  check('early-refused', {
    expected: OPERATION_INVALID,
    actual: 'accepted' in answer ? 'a measurement' : answer.code,
  });
  if (!('accepted' in answer)) evidence.attach('early.txt', answer.text);
}

async function checkFirmware(
  { host, facts, check, skipCheck, note }: ScenarioContext,
  launcher: GuestLauncher,
  platform: Platform,
  usual: GuestFirmwareImage,
): Promise<void> {
  const id = 'guest-firmware-measured';
  const other = await readOtherGuestFirmware(host, facts, usual);
  if (other === undefined) return skipCheck(id, `libvirt offers no readable image beside ${usual.path}`);
  note(`another guest firmware: ${other.path}`);
  const guest = await launchAttestedOrFail(launcher, platform, 'sev', 'firmware', { loader: other.path });
  const verifies = ({ image }: GuestFirmwareImage) => isMeasured(guest, computeLaunchDigest({ guestFirmware: image }));
  check(id, { expected: ONLY_ITS_OWN, actual: { own: verifies(other), first: verifies(usual) } });
  await guest.guest.stop();
}

/** One guest for each file that is changed: its own digest must verify, and the one with nothing changed must not. */
async function checkBootFiles(context: ScenarioContext, launcher: GuestLauncher, platform: Platform): Promise<void> {
  const { host, facts, check, skipCheck, note } = context;
  const id = 'boot-files-measured';
  const firmware = await findMeasuredBootImage(host, facts);
  if ('because' in firmware) return skipCheck(id, firmware.because);
  const files = await findBootFiles(context);
  if ('because' in files) return skipCheck(id, files.because);
  const [kernel = '', initrd = ''] = [files.kernels[0], files.initrds[0]];
  const first: DirectBoot = { kernel, initrd, cmdline: 'console=ttyS0' };
  const firstDigest = await measuredBootDigest(host, firmware, first);
  const [otherKernel, otherInitrd] = [files.kernels.at(-1), files.initrds.at(-1)];
  const changes: Readonly<Record<string, DirectBoot | undefined>> = {
    'nothing changed': first,
    'command line': { ...first, cmdline: 'console=ttyS0 quiet' },
    'no initrd': { kernel, cmdline: first.cmdline },
    kernel: otherKernel === kernel ? undefined : { ...first, kernel: otherKernel ?? kernel },
    initrd: otherInitrd === initrd ? undefined : { ...first, initrd: otherInitrd ?? initrd },
  };
  const expected: Record<string, typeof ONLY_ITS_OWN> = {};
  const actual: Record<string, typeof ONLY_ITS_OWN | string> = {};
  for (const [change, boot] of Object.entries(changes)) {
    const digest = boot && (await measuredBootDigest(host, firmware, boot));
    const isOther = boot === first || (digest !== undefined && !Buffer.from(digest).equals(firstDigest));
    if (boot === undefined || digest === undefined || !isOther) note(`not tried: the host has no other ${change}`);
    else {
      expected[change] = { own: true, first: boot === first };
      const options = { loader: firmware.path, boot, isBootMeasured: true };
      const guest = await launchAttested(launcher, platform, 'sev', 'boot', options);
      if ('refusal' in guest) actual[change] = guest.refusal.text;
      else {
        actual[change] = { own: isMeasured(guest, digest), first: isMeasured(guest, firstDigest) };
        await guest.guest.stop();
      }
    }
  }
  check(id, { expected, actual });
}
