import {
  changedKeys,
  createOwnerSession,
  DESTRUCTIVE,
  disagreements,
  driverDeviations,
  firmwareStatusIn,
  formatDriverRows,
  formatKeys,
  formatTold,
  GuestLauncher,
  HARMLESS,
  type PlatformKeys,
  readFirmwareVersions,
  readIdentities,
  readPlatform,
  readPlatformKeysOrFail,
  readPlatformStatus,
  readStateTable,
  type ScenarioContext,
  scenario,
  sessionText,
  statusWord,
  tryDriverCommands,
  tryShortBuffers,
  withKeys,
} from '../harness/test.ts';

const API = 'SEV API specification 55766';
const PLATFORM = `${API}, chapter 5 Platform Management API`;
const ROTATION = ['pdh-rotates', 'old-session-refused', 'pek-rotates', 'rotated-chain-verifies'] as const;
const POLICY = 0x0003;
const BAD_MEASUREMENT = 11;

scenario(
  {
    id: 'firmware-platform',
    title:
      'The SEV firmware says the same to everybody, answers as specified in every state, and makes new keys when told',
    source: [
      'nova specification "libvirt driver launching AMD SEV-encrypted instances": "an attestation that the memory was encrypted correctly by the firmware"',
      PLATFORM,
      `${API}, appendix C: PDH, PEK, OCA and CEK`,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      'versions-agree': { title: 'API and build of the firmware are the same from every source that tells them' },
      'identity-agrees': {
        title: 'PDH, certificate chain and chip id are the same from libvirt, QEMU and the firmware',
      },
      'short-buffers-refused': {
        title: 'a buffer that is too small is refused with the length that is needed (INVALID_LENGTH)',
        source: PLATFORM,
      },
      'driver-commands-match': {
        title: 'platform commands on /dev/sev end as specified, without a guest and beside one',
        source: PLATFORM,
      },
      'state-table-matches': {
        title: 'every command in every state of platform and guest has the status that the specification gives it',
        source: `${API}, platform and guest state machines`,
      },
      'pdh-rotates': { title: 'PDH_GEN makes a new PDH and nothing else', source: `${PLATFORM}, PDH_GEN` },
      'old-session-refused': { title: 'a session for the old PDH starts no guest any more, one for the new PDH does' },
      'pek-rotates': {
        title: 'PEK_GEN makes new PEK, OCA and PDH; the chip keeps its CEK',
        source: `${PLATFORM}, PEK_GEN`,
      },
      'rotated-chain-verifies': { title: 'the new keys verify like the old ones', source: `${API}, appendix C` },
    },
  },
  async (context) => {
    const { host, facts, machine, step, check, skipCheck, note, evidence } = context;
    const launcher = new GuestLauncher(context);
    const platform = await readPlatformStatus(host);
    const tries: Tries[] = [];

    await step('issue platform commands without a guest of ours', async () => {
      const isIdle = !('because' in platform) && platform.guestCount === 0;
      tries.push(isIdle ? await tryDriverCommands(host, 'idle', HARMLESS) : { because: 'guests of others run' });
    });
    await step('ask for the same things beside a paused guest', async () => {
      const guest = await launcher.launchOrFail('sev', 'platform', { policy: POLICY, isPaused: true });
      const versions = await readFirmwareVersions(host, guest);
      evidence.attach('versions.txt', `${machine}\n\n${formatTold('API and build', versions)}\n`);
      check('versions-agree', { expected: [], actual: disagreements(versions) });
      const identities = Object.entries(await readIdentities(host, facts, guest));
      evidence.attach('identity.txt', identities.map(([what, told]) => formatTold(what, told)).join('\n'));
      check('identity-agrees', {
        expected: [],
        actual: identities.flatMap(([what, told]) => disagreements(told).map((text) => `${what}: ${text}`)),
        because: 'libvirt keeps what it was told when it probed QEMU: restart libvirtd after new keys',
      });
      const short = await tryShortBuffers(host);
      if ('because' in short) skipCheck('short-buffers-refused', short.because);
      else check('short-buffers-refused', { expected: [], actual: [...short] });
      tries.push(await tryDriverCommands(host, 'working', HARMLESS));
      await guest.stop();
    });
    await step('issue every command in every state', async () => {
      const table = await readStateTable(host);
      if ('because' in table) return skipCheck('state-table-matches', table.because);
      evidence.attach('state-table.txt', `${machine}\n\n${table.text}`);
      check('state-table-matches', { expected: [], actual: [...table.deviations] });
    });

    const why = whyNotDestructive(context, platform);
    if (why === undefined) tries.push(...(await rotateKeys(context, launcher)));
    else {
      for (const id of ROTATION) skipCheck(id, why);
      note(`platform keys stay as they are: ${why}`);
    }
    const rows = tries.flatMap((one) => ('because' in one ? [] : one));
    const untried = tries.flatMap((one) => ('because' in one ? [one.because] : []));
    if (rows.length === 0) return skipCheck('driver-commands-match', untried.join('; '));
    const remarks = [
      ...untried,
      ...(why === undefined ? [] : [`PDH_GEN, PEK_GEN and FACTORY_RESET not tried: ${why}`]),
    ];
    evidence.attach('driver-commands.txt', [machine, '', formatDriverRows(rows), '', ...remarks].join('\n'));
    check('driver-commands-match', { expected: [], actual: driverDeviations(rows) });
  },
);

type Tries = Awaited<ReturnType<typeof tryDriverCommands>>;

/** Why platform keys must stay as they are; nothing where the run may change them. */
function whyNotDestructive(
  { settings }: ScenarioContext,
  platform: Awaited<ReturnType<typeof readPlatformStatus>>,
): string | undefined {
  if (!settings.allowDestructive) return 'it makes new platform keys, which only --allow-destructive allows';
  if ('because' in platform) return `the firmware cannot be asked: ${platform.because}`;
  if (platform.guestCount > 0) return `${platform.guestCount} guests that are not ours run on this platform`;
  if (platform.isExternallyOwned) return 'the platform belongs to an owner whose certificate nobody here can give back';
  return undefined;
}

/** Makes new keys, shows them before and after, and what they mean for sessions; gives back how the commands ended. */
async function rotateKeys(context: ScenarioContext, launcher: GuestLauncher): Promise<Tries[]> {
  const { host, facts, step, check, note, evidence } = context;
  const keysNow = () => readPlatformKeysOrFail(host);
  const verify = async (keys: PlatformKeys) => {
    const { chain } = await readPlatform(host, withKeys(facts, keys));
    return chain.checks.filter((row) => row.outcome === 'failed').map((row) => row.id);
  };
  const tries: Tries[] = [];
  note('making new platform keys, as --allow-destructive allows; libvirt tells the old PDH until it probes QEMU again');

  const first = await keysNow();
  evidence.attach('keys-before.bin', bytesOf(first), 'application/octet-stream');
  await step('try to make new keys beside a guest', async () => {
    const guest = await launcher.launchOrFail('sev', 'beside', { policy: POLICY, isPaused: true });
    tries.push(await tryDriverCommands(host, 'working', DESTRUCTIVE));
    await guest.stop();
  });
  const before = await keysNow();
  const withNewPdh = await step('make a new PDH', async () => {
    tries.push(await tryDriverCommands(host, 'idle', ['PDH_GEN']));
    const after = await keysNow();
    check('pdh-rotates', {
      expected: { pdh: 'new', pek: 'same', oca: 'same', cek: 'same' },
      actual: changedKeys(before, after),
    });
    return after;
  });
  await step('launch with a session for the old PDH, and with one for the new', async () => {
    const outcome = async (role: string, keys: PlatformKeys) => {
      const session = createOwnerSession(await readPlatform(host, withKeys(facts, keys)), POLICY);
      const launch = await launcher.launch('sev', role, {
        policy: POLICY,
        session: sessionText(session),
        isPaused: true,
      });
      if (launch.outcome === 'refused') return refusalStatus(launch.refusal.text);
      await launch.guest.stop();
      return 'started';
    };
    check('old-session-refused', {
      expected: { old: statusWord(BAD_MEASUREMENT), new: 'started' },
      actual: { old: await outcome('old', before), new: await outcome('new', withNewPdh) },
    });
  });
  const withNewPek = await step('make a new PEK', async () => {
    tries.push(await tryDriverCommands(host, 'idle', ['PEK_GEN']));
    const after = await keysNow();
    check('pek-rotates', {
      expected: { pdh: 'new', pek: 'new', oca: 'new', cek: 'same' },
      actual: changedKeys(withNewPdh, after),
    });
    return after;
  });
  check('rotated-chain-verifies', {
    expected: { before: [], 'after PDH_GEN': [], 'after PEK_GEN': [] },
    actual: {
      before: await verify(first),
      'after PDH_GEN': await verify(withNewPdh),
      'after PEK_GEN': await verify(withNewPek),
    },
  });
  evidence.attach('keys-after.bin', bytesOf(withNewPek), 'application/octet-stream');
  const moments = [
    ['before', first],
    ['after PDH_GEN', withNewPdh],
    ['after PEK_GEN', withNewPek],
  ] as const;
  evidence.attach('keys.txt', `SHA-256 of what is signed of each certificate\n\n${formatKeys(moments)}\n`);
  return tries;
}

function bytesOf({ pdh, chain }: PlatformKeys): Uint8Array {
  return new Uint8Array(Buffer.concat([pdh, chain]));
}

function refusalStatus(text: string): string {
  const status = firmwareStatusIn(text, 'LAUNCH_START');
  return status === undefined ? text : statusWord(status);
}
