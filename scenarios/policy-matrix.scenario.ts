import {
  allowsDebug,
  type BareAnswer,
  bareTable,
  capabilitiesOf,
  createOwnerSession,
  DEBUG_PATTERN_HEX,
  debugText,
  demandsEs,
  endText,
  FLAG_POLICIES,
  floorPolicies,
  formatSevPolicy,
  GuestLauncher,
  launchBare,
  launchEnd,
  matrixTable,
  type PolicyRow,
  RESERVED_POLICIES,
  readPlatform,
  readPlatformStatus,
  reportText,
  rowText,
  type ScenarioContext,
  scenario,
  sessionForPolicy,
  sessionText,
  slotsInUse,
  statusWord,
  toldText,
  tryPolicy,
} from '../harness/test.ts';

const POLICY = 'SEV API specification, section 2.4 Guest Policy, table 2';
const START = 'SEV API specification, section 6.2 LAUNCH_START';
const DEBUG = 'SEV API specification, section 7.1 DBG_DECRYPT';
const KVM = 'Linux Documentation/virt/kvm/x86/amd-memory-encryption.rst';
const POLICY_FAILURE = 7;
const INVALID_ASID = 13;
const UNSUPPORTED = 21;

scenario(
  {
    id: 'policy-matrix',
    title: 'Every policy that the specification allows starts a guest and reads back the same; every other is refused',
    source: [
      'nova specification "libvirt driver launching AMD SEV-encrypted instances": "policy allows a particular SEV policy, as documented in the AMD SEV-KM API Specification"',
      POLICY,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      'allowed-start': {
        title: 'every combination of flags that the host can have starts, and so do older API floors',
        source: POLICY,
      },
      'told-as-asked': { title: 'query-sev and domlaunchsecinfo tell the policy that was asked for' },
      'firmware-tells-as-asked': {
        title: 'the firmware itself reports the policy that was asked for',
        source: `${KVM}, KVM_SEV_GUEST_STATUS`,
      },
      'reserved-refused': { title: 'each reserved bit is refused (POLICY_FAILURE)', source: START },
      'newer-api-refused': {
        title: 'a floor above the API of the firmware is refused (POLICY_FAILURE)',
        source: START,
      },
      'es-without-es-refused': {
        title: 'on a host without SEV-ES, every policy that demands it is refused',
        source: START,
      },
      'debug-refused': {
        title: 'under NODBG the firmware decrypts nothing for the host (POLICY_FAILURE)',
        source: DEBUG,
      },
      'debug-works': { title: 'without NODBG it does: the refusal means something', source: DEBUG },
      'refused-left-nothing': { title: 'the refused guests hold no slot' },
    },
  },
  async (context) => {
    const { host, facts, machine, step, check, skipCheck, evidence } = context;
    const before = await slotsInUse(host);
    const hasEs = capabilitiesOf(facts)['sev-es'].met;
    const allowed = (policy: number) => hasEs || !demandsEs(policy);
    const base = createOwnerSession(await readPlatform(host, facts), 0);
    const owner = (policy: number) => sessionForPolicy(base, policy);
    const rows: PolicyRow[] = [];
    const tryAll = async (policies: readonly number[], expected: PolicyRow['expected']) => {
      for (const policy of policies)
        rows.push(await tryPolicy(context, launcher, sessionText(owner(policy)), policy, expected));
      return rows.slice(-policies.length);
    };
    const launcher = new GuestLauncher(context);

    const started = await step('start a guest under every combination of flags', () =>
      tryAll(FLAG_POLICIES.filter(allowed), 'starts'),
    );
    const firmware = started.find((row) => row.firmware !== undefined)?.firmware;
    const floors = floorPolicies(firmware ?? { apiMajor: 0, apiMinor: 0 });
    const older = await step('start guests that ask for this firmware or an older one', () =>
      tryAll(floors.met, 'starts'),
    );
    const withoutStart = [...started, ...older].filter((row) => row.outcome !== 'started');
    check('allowed-start', { expected: [], actual: withoutStart.map(rowText) });
    const misread = [...started, ...older].filter((row) => row.told.some((value) => value !== row.policy));
    check('told-as-asked', { expected: [], actual: misread.map(toldText) });

    await step('ask for reserved bits', async () => {
      const refused = await tryAll(RESERVED_POLICIES, 'refused');
      check('reserved-refused', {
        expected: [],
        actual: refused.filter((row) => row.status !== POLICY_FAILURE).map(rowText),
      });
    });
    await step('ask for newer firmware', async () => {
      if (firmware === undefined)
        return skipCheck('newer-api-refused', 'no guest started that tells the API of the firmware');
      const refused = await tryAll(floors.above, 'refused');
      check('newer-api-refused', {
        expected: [],
        actual: refused.filter((row) => row.status !== POLICY_FAILURE).map(rowText),
      });
    });
    await step('ask for SEV-ES where there is none', async () => {
      if (hasEs)
        return skipCheck('es-without-es-refused', 'the host has SEV-ES: those policies are among the allowed ones');
      const asked = await tryAll(FLAG_POLICIES.filter(demandsEs), 'refused');
      const taken = asked.filter((row) => row.outcome === 'started').map(rowText);
      const byFirmware = await askFirmwareForEs(context, owner);
      check('es-without-es-refused', { expected: [], actual: [...taken, ...byFirmware] });
    });

    await step('ask the firmware itself, without QEMU', async () => {
      const policies = FLAG_POLICIES.filter(allowed);
      const launches = policies.map((policy) => ({
        policy,
        isEs: demandsEs(policy),
        owner: owner(policy),
        loads: [{ page: 0, fillHex: DEBUG_PATTERN_HEX }],
        debugPage: 0,
      }));
      const answers = await launchBare(host, launches);
      if ('because' in answers) {
        for (const id of ['firmware-tells-as-asked', 'debug-refused', 'debug-works'])
          skipCheck(id, `KVM cannot be asked directly: ${answers.because}`);
        return;
      }
      judgeBare(context, policies, answers);
      evidence.attach('firmware-matrix.txt', bareTable(machine, policies, answers));
    });
    check('refused-left-nothing', { expected: { ...before }, actual: { ...(await slotsInUse(host)) } });
    evidence.attach('policy-matrix.txt', matrixTable(machine, rows));
  },
);

/** What went wrong when the firmware was asked for SEV-ES guests that KVM would not have asked it for. */
async function askFirmwareForEs(
  { host, note }: ScenarioContext,
  owner: (policy: number) => ReturnType<typeof sessionForPolicy>,
): Promise<string[]> {
  const policies = FLAG_POLICIES.filter(demandsEs);
  const answers = await launchBare(
    host,
    policies.map((policy) => ({ policy, owner: owner(policy) })),
  );
  if ('because' in answers) {
    note(`the firmware could not be asked for SEV-ES without KVM's own check: ${answers.because}`);
    return [];
  }
  // A firmware that was started with SEV-ES, on a host whose KVM has it off, fails when it sees the ASID.
  const platform = await readPlatformStatus(host);
  const isEsStarted = !('because' in platform) && platform.isEsEnabled;
  const right = isEsStarted ? [UNSUPPORTED, INVALID_ASID] : [UNSUPPORTED];
  return answers.flatMap((answer, index) => {
    const { status } = launchEnd(answer);
    if (status !== null && right.includes(status)) return [];
    return [
      `${formatSevPolicy(policies[index] ?? 0)}: ${endText(launchEnd(answer))}, specified ${statusWord(UNSUPPORTED)}`,
    ];
  });
}

function judgeBare(
  { check, skipCheck }: ScenarioContext,
  policies: readonly number[],
  answers: readonly BareAnswer[],
): void {
  const tries = policies.map((policy, index) => ({ policy, answer: answers[index] }));
  const launched = tries.filter(({ answer }) => answer?.reportedPolicy !== undefined);
  if (launched.length === 0) {
    for (const id of ['firmware-tells-as-asked', 'debug-refused', 'debug-works'])
      skipCheck(id, 'no launch without QEMU succeeded');
    return;
  }
  const wrong = tries.filter(({ policy, answer }) => answer?.reportedPolicy !== policy);
  check('firmware-tells-as-asked', {
    expected: [],
    actual: wrong.map(({ policy, answer }) => reportText(policy, answer)),
  });
  const readable = (answer: BareAnswer | undefined) => answer?.debug?.errno === 0;
  const closed = launched.filter(({ policy }) => !allowsDebug(policy));
  const leaking = closed.filter(({ answer }) => answer?.debug?.status !== POLICY_FAILURE);
  check('debug-refused', { expected: [], actual: leaking.map(({ policy, answer }) => debugText(policy, answer)) });
  const open = launched.filter(({ policy }) => allowsDebug(policy));
  const shut = open.filter(({ answer }) => !readable(answer) || answer?.debug?.seenHex !== DEBUG_PATTERN_HEX);
  check('debug-works', { expected: [], actual: shut.map(({ policy, answer }) => debugText(policy, answer)) });
}
