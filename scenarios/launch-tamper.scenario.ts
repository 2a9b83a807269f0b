import {
  type AttestedGuest,
  answerOf,
  buildSecretTable,
  computeLaunchDigest,
  createOwnerSession,
  findBootFiles,
  findMeasuredBootImage,
  firmwareStatusIn,
  forgeChain,
  GuestLauncher,
  launchAttested,
  launchAttestedOrFail,
  launchObjections,
  measuredBootDigest,
  ownerObjections,
  type Platform,
  readGuestFirmware,
  readOtherGuestFirmware,
  readPlatform,
  readPlatformKeysOrFail,
  type ScenarioContext,
  Secret,
  scenario,
  sealFor,
  secretAddress,
  type Tampering,
  tamper,
  tryDriverCommands,
  withKeys,
  withOtherPdh,
} from '../harness/test.ts';

const START = 'SEV API specification, section 6.2 LAUNCH_START';
const MEASURE = 'SEV API specification, section 6.5 LAUNCH_MEASURE';
const SECRET = 'SEV API specification, section 6.6 LAUNCH_SECRET';
const CHAIN = 'SEV API specification, appendix C';
const POLICY = 0x0003;
const NEWER_API = 0xffff_0003;
/** Status codes of the firmware (SEV API, status codes). */
const INVALID_LENGTH = 4;
const INVALID_CERTIFICATE = 6;
const POLICY_FAILURE = 7;
const BAD_MEASUREMENT = 11;
const MISMATCH = ['launch.measurement-matches'];
const MEASURE_BYTES = 32;

scenario(
  {
    id: 'launch-tamper',
    title: 'Whatever a host changes about a launch is refused by the firmware or seen by the owner of the guest',
    source: [
      'nova specification "libvirt driver launching AMD SEV-encrypted instances": "keys the cloud user provides to the SEV firmware over a protected channel"',
      'nova specification "libvirt driver launching AMD SEV-encrypted instances": "the ability for the cloud user to verify the attestation which SEV can provide using the LAUNCH_MEASURE firmware call"',
      START,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      'forged-chain-refused': {
        title: 'the owner makes a session for the chain of this host, and none for one with another PDH, PEK or CEK',
        source: CHAIN,
      },
      'wrong-root-refused': { title: 'nor for one whose root the owner does not trust', source: CHAIN },
      'right-session-starts': { title: 'the session that nobody changed starts a guest' },
      'edited-policy-refused': {
        title: 'another policy than that of the session is refused (BAD_MEASUREMENT)',
        source: START,
      },
      'changed-keys-refused': {
        title: 'a session whose MACs were changed is refused (BAD_MEASUREMENT)',
        source: START,
      },
      'other-platform-refused': {
        title: 'a session that was made for the PDH of another platform is refused (BAD_MEASUREMENT)',
        source: START,
      },
      'bent-point-refused': {
        title: "an owner's key that is not on the curve is refused (INVALID_CERTIFICATE; CVE-2019-9836)",
        source: START,
      },
      'corrupted-godh-refused': {
        title: "an owner's certificate for another use, or cut short, is refused (INVALID_CERTIFICATE, INVALID_LENGTH)",
        source: START,
      },
      'truncated-session-refused': { title: 'a session that was cut short is refused (INVALID_LENGTH)', source: START },
      'newer-api-refused': {
        title: 'a policy that demands a newer firmware is refused (POLICY_FAILURE)',
        source: START,
      },
      'wrong-guest-firmware-seen': {
        title: 'another guest firmware starts, and its measurement does not verify',
        source: MEASURE,
      },
      'swapped-kernel-seen': {
        title: 'another kernel of a measured direct boot starts, and its measurement does not verify',
        source: MEASURE,
      },
      'replay-gains-nothing': {
        title:
          "a session is taken twice, as AMD's design has it; the second launch has another measurement, and takes no packet of the first",
        source: SECRET,
      },
      'stale-pdh-refused': {
        title: 'a session for the PDH from before PDH_GEN is refused (BAD_MEASUREMENT), one for the new PDH starts',
        source: START,
      },
    },
  },
  async (context) => {
    const { host, facts, step, check, evidence } = context;
    const launcher = new GuestLauncher(context);
    await launcher.assertMemoryFor(2);
    const platform = await readPlatform(host, facts);
    const session = createOwnerSession(platform, POLICY);
    const refusals: Record<string, string> = {};
    const statusOf: StatusOf = async (role, given, policy = POLICY) => {
      const answer = await launchAttested(launcher, platform, 'sev', role, { session: given, policy });
      if (!('refusal' in answer)) {
        await answer.guest.stop();
        return 'started';
      }
      refusals[role] = answer.refusal.text;
      return firmwareStatusIn(answer.refusal.text, 'LAUNCH_START') ?? answer.refusal.text;
    };
    const endOf = (tampering: Tampering) => statusOf(tampering.replaceAll(' ', '-'), tamper(session, tampering));

    await step('ask an owner for a session under forged chains', () => checkChains(context, platform));
    await step('launch with the session as it was made', async () =>
      check('right-session-starts', { expected: 'started', actual: await statusOf('right', session) }),
    );
    await step('launch with another policy', async () =>
      check('edited-policy-refused', { expected: BAD_MEASUREMENT, actual: await statusOf('policy', session, 0x0001) }),
    );
    await step('launch with changed keys', async () => {
      check('changed-keys-refused', {
        expected: { 'wrapped keys': BAD_MEASUREMENT, 'policy MAC': BAD_MEASUREMENT },
        actual: { 'wrapped keys': await endOf('wrapped keys'), 'policy MAC': await endOf('policy MAC') },
      });
      const foreign = createOwnerSession(withOtherPdh(platform), POLICY);
      check('other-platform-refused', { expected: BAD_MEASUREMENT, actual: await statusOf('foreign', foreign) });
    });
    await step('launch with a broken certificate or session', async () => {
      check('bent-point-refused', { expected: INVALID_CERTIFICATE, actual: await endOf('point off the curve') });
      check('corrupted-godh-refused', {
        expected: { 'other key usage': INVALID_CERTIFICATE, 'certificate too short': INVALID_LENGTH },
        actual: {
          'other key usage': await endOf('other key usage'),
          'certificate too short': await endOf('certificate too short'),
        },
      });
      check('truncated-session-refused', { expected: INVALID_LENGTH, actual: await endOf('session too short') });
    });
    await step('launch with a policy for newer firmware', async () => {
      const newer = createOwnerSession(platform, NEWER_API);
      check('newer-api-refused', { expected: POLICY_FAILURE, actual: await statusOf('newer', newer, NEWER_API) });
    });
    await step('launch another guest firmware, and the same session again', () =>
      checkFirmwareAndReplay(context, launcher, platform),
    );
    await step('launch another kernel', () => checkKernel(context, launcher, platform));
    // Last: what was made for this PDH is of no use any more.
    await step('launch with a session for the PDH of before', () => checkStalePdh(context, platform, statusOf));
    evidence.attach('refusals.json', JSON.stringify(refusals, null, 2), 'application/json');
  },
);

type Session = ReturnType<typeof createOwnerSession>;
type StatusOf = (role: string, given: Session, policy?: number) => Promise<number | string>;

function checkChains({ host, check, skipCheck }: ScenarioContext, platform: Platform): void {
  if (host.kind === 'real') {
    const because =
      "libvirt gives the CEK unsigned: without AMD's signature on it no chain can be told from a forged one";
    skipCheck('forged-chain-refused', `${because}; \`attest chain\` does so with the signed CEK`);
    skipCheck('wrong-root-refused', because);
    return;
  }
  const { certificates } = platform;
  const objections = (chain: typeof certificates) => ownerObjections(chain, certificates.ark);
  check('forged-chain-refused', {
    expected: {
      genuine: [],
      PDH: ['chain.pdh-signed-by-pek'],
      PEK: ['chain.pek-signed-by-oca', 'chain.pek-signed-by-cek'],
      CEK: ['chain.cek-signed-by-ask'],
    },
    actual: {
      genuine: objections(certificates),
      PDH: objections(forgeChain(platform, 'pdh')),
      PEK: objections(forgeChain(platform, 'pek')),
      CEK: objections(forgeChain(platform, 'cek')),
    },
  });
  check('wrong-root-refused', { expected: ['chain.ark-pinned'], actual: ownerObjections(certificates, undefined) });
}

async function checkFirmwareAndReplay(
  { host, facts, check, skipCheck, note }: ScenarioContext,
  launcher: GuestLauncher,
  platform: Platform,
): Promise<void> {
  const usual = await readGuestFirmware(host, facts);
  const other = await readOtherGuestFirmware(host, facts, usual);
  const digest = computeLaunchDigest({ guestFirmware: usual.image });
  const objections = (guest: AttestedGuest, measurement = guest.claims.measurement) =>
    launchObjections(guest, digest, { measurement });
  const first = await launchAttestedOrFail(launcher, platform, 'sev', 'first');
  const { session } = first;
  if (other === undefined) {
    skipCheck('wrong-guest-firmware-seen', `libvirt offers no readable image beside ${usual.path}`);
  } else {
    note(`the owner expects ${usual.path}, the host takes ${other.path}`);
    const swapped = await launchAttestedOrFail(launcher, platform, 'sev', 'firmware', { loader: other.path });
    check('wrong-guest-firmware-seen', {
      expected: { expected: [], other: MISMATCH },
      actual: { expected: objections(first), other: objections(swapped) },
    });
    await swapped.guest.stop();
  }

  const second = await launchAttestedOrFail(launcher, platform, 'sev', 'replay', { session });
  const [measured, nonce] = [
    first.claims.measurement.subarray(0, MEASURE_BYTES),
    second.claims.measurement.subarray(MEASURE_BYTES),
  ];
  const table = buildSecretTable([{ guid: 'luks-key', secret: new Secret(new TextEncoder().encode('replayed')) }]);
  const setAddress = BigInt(secretAddress(usual.image));
  const answer = await answerOf(second.guest.domain.setLaunchSecurityState({ ...sealFor(first, table), setAddress }));
  note('a host that shows the first measurement again is believed by an owner who uses a session twice: use a new one');
  check('replay-gains-nothing', {
    expected: {
      'first measurement, shown again': [],
      'first measurement under the nonce of the second launch': MISMATCH,
      'both launches measure the same': false,
      'packet of the first launch': BAD_MEASUREMENT,
    },
    actual: {
      'first measurement, shown again': objections(second, first.claims.measurement),
      'first measurement under the nonce of the second launch': objections(
        second,
        new Uint8Array(Buffer.concat([measured, nonce])),
      ),
      'both launches measure the same': Buffer.from(measured).equals(
        second.claims.measurement.subarray(0, MEASURE_BYTES),
      ),
      'packet of the first launch':
        'accepted' in answer ? 'accepted' : (firmwareStatusIn(answer.text, 'failed to inject secret') ?? answer.text),
    },
  });
  for (const { guest } of [first, second]) await guest.stop();
}

async function checkKernel(context: ScenarioContext, launcher: GuestLauncher, platform: Platform): Promise<void> {
  const { host, facts, check, skipCheck, note } = context;
  const id = 'swapped-kernel-seen';
  const firmware = await findMeasuredBootImage(host, facts);
  if ('because' in firmware) return skipCheck(id, firmware.because);
  const files = await findBootFiles(context);
  if ('because' in files) return skipCheck(id, files.because);
  const [kernel = '', other = kernel] = [files.kernels[0], files.kernels.at(-1)];
  const boot = { kernel, cmdline: 'console=ttyS0' };
  const digest = await measuredBootDigest(host, firmware, boot);
  if (Buffer.from(await measuredBootDigest(host, firmware, { ...boot, kernel: other })).equals(digest))
    return skipCheck(id, 'the host has only one kernel');
  note(`the owner expects ${kernel}, the host takes ${other}`);
  const objectionsTo = async (role: string, path: string) => {
    const guest = await launchAttestedOrFail(launcher, platform, 'sev', role, {
      loader: firmware.path,
      boot: { ...boot, kernel: path },
      isBootMeasured: true,
    });
    await guest.guest.stop();
    return launchObjections(guest, digest);
  };
  check(id, {
    expected: { expected: [], other: MISMATCH },
    actual: { expected: await objectionsTo('kernel', kernel), other: await objectionsTo('swapped', other) },
  });
}

/** PDH_GEN ends every session that was made for the old PDH; running guests are not touched by it. */
async function checkStalePdh(
  { host, facts, settings, check, skipCheck, note }: ScenarioContext,
  platform: Platform,
  statusOf: StatusOf,
): Promise<void> {
  const id = 'stale-pdh-refused';
  if (!settings.allowDestructive)
    return skipCheck(id, 'it makes a new PDH, which only --allow-destructive allows; another PDH is tried above');
  const stale = createOwnerSession(platform, POLICY);
  const tried = await tryDriverCommands(host, 'idle', ['PDH_GEN']);
  if ('because' in tried) return skipCheck(id, tried.because);
  note('made a new PDH, as --allow-destructive allows; libvirt tells the old one until it probes QEMU again');
  const renewed = await readPlatform(host, withKeys(facts, await readPlatformKeysOrFail(host)));
  check(id, {
    expected: { old: BAD_MEASUREMENT, new: 'started' },
    actual: {
      old: await statusOf('stale', stale),
      new: await statusOf('renewed', createOwnerSession(renewed, POLICY)),
    },
  });
}
