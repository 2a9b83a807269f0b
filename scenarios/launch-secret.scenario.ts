import {
  type AttestedGuest,
  agentLaunch,
  answerOf,
  buildSecretTable,
  findSecretPlace,
  firmwareStatusIn,
  fromBase64,
  type GuestConsole,
  GuestLauncher,
  type HostAnswer,
  keepConsole,
  launchAttestedOrFail,
  readPlatform,
  type ScenarioContext,
  Secret,
  scenario,
  sealFor,
  sha256Hex,
  toBase64,
} from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const SECRET = 'SEV API specification, section 6.6 LAUNCH_SECRET';
/** Status codes of the firmware. */
const INVALID_LENGTH = 4;
const BAD_MEASUREMENT = 11;
const PAGE_BYTES = 4096;
const PASSPHRASE = 'sev-harness launch-secret passphrase';
const BOOT_TIMEOUT_MS = { emulated: 5000, real: 60_000 };
const LUKS_GUID = '736869e5-84f0-4973-92ec-06879ce3da0b';

scenario(
  {
    id: 'launch-secret',
    title: 'A secret that is injected into a measured guest reaches that guest, and nobody else',
    source: [
      `${NOVA}: "The cloud user can verify all of this before providing additional secrets to the VM, for example storage decryption keys"`,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      accepted: { title: "the firmware takes a packet that was sealed with the launch's keys", source: SECRET },
      arrives: { title: 'the guest finds the secret, byte for byte', source: SECRET },
      hidden: { title: 'the host does not find the secret where it was put', source: SECRET },
      'bad-packets-refused': {
        title: 'a packet with a wrong MAC, and one for another launch, are refused as not authentic',
        source: SECRET,
      },
      'short-refused': {
        title: 'a secret of less than one block and a header that was cut short are refused (INVALID_LENGTH)',
        source: SECRET,
      },
      'again-before-run': {
        title:
          'before the guest runs, LAUNCH_SECRET may be repeated: the same packet puts the same bytes to the same place',
        source: SECRET,
      },
      'late-refused': {
        title: 'once the guest has run no secret is taken any more, running or paused',
        source: SECRET,
      },
    },
  },
  async (context) => {
    const { host, facts, step, check, skipCheck, note, evidence } = context;
    const texts: Record<string, string> = {};
    const launcher = new GuestLauncher(context);
    await launcher.assertMemoryFor(2);
    const platform = await readPlatform(host, facts);
    const place = await findSecretPlace(host, facts);
    const { address } = place;
    note(`secret at guest address 0x${address.toString(16)} under ${place.launch.loader ?? facts.loaders[0]}`);
    const options = { ...(await agentLaunch(context, { secretAddress: address })), ...place.launch };
    const launch = (role: string, session?: AttestedGuest['session']) =>
      launchAttestedOrFail(launcher, platform, 'sev', role, {
        ...options,
        ...(session === undefined ? {} : { session }),
      });
    const table = buildSecretTable([{ guid: 'luks-key', secret: new Secret(new TextEncoder().encode(PASSPHRASE)) }]);
    const inject = ({ guest }: AttestedGuest, packet: { header: string; secret: string }) =>
      answerOf(guest.domain.setLaunchSecurityState({ ...packet, setAddress: BigInt(address) }));

    const owner = await step('launch two guests of one session, paused', () => launch('secret'));
    const other = await launch('other', owner.session);

    await step('inject what must not be taken', async () => {
      const packet = sealFor(owner, table);
      const header = fromBase64(packet.header) ?? new Uint8Array();
      const secret = fromBase64(packet.secret) ?? new Uint8Array();
      const statuses = async (packets: Readonly<Record<string, () => Promise<HostAnswer>>>) => {
        const actual: Record<string, number | string> = {};
        for (const [name, ask] of Object.entries(packets)) {
          const answer = await ask();
          texts[name] = 'accepted' in answer ? 'accepted' : answer.text;
          actual[name] = firmwareStatus(answer);
        }
        return actual;
      };
      const bent = Uint8Array.from(header);
      bent[bent.length - 1] = (bent[bent.length - 1] ?? 0) ^ 1;
      check('bad-packets-refused', {
        expected: { 'wrong MAC': BAD_MEASUREMENT, 'another launch': BAD_MEASUREMENT },
        actual: await statuses({
          'wrong MAC': () => inject(owner, { ...packet, header: toBase64(bent) }),
          'another launch': () => inject(other, packet),
        }),
      });
      check('short-refused', {
        expected: { 'secret of 8 bytes': INVALID_LENGTH, 'header of 51 bytes': INVALID_LENGTH },
        actual: await statuses({
          'secret of 8 bytes': () => inject(owner, { ...packet, secret: toBase64(secret.subarray(0, 8)) }),
          'header of 51 bytes': () => inject(owner, { ...packet, header: toBase64(header.subarray(0, -1)) }),
        }),
      });
    });

    await step('inject the secret', async () => {
      const packet = sealFor(owner, table);
      const [answer, again] = [await inject(owner, packet), await inject(owner, packet)];
      const isIn = 'accepted' in answer;
      check('accepted', { expected: 'accepted', actual: isIn ? 'accepted' : answer.text });
      if (isIn) check('again-before-run', { expected: 'accepted', actual: firmwareStatus(again) });
      else skipCheck('again-before-run', 'the secret was not accepted');
      const isSeen = async () =>
        Buffer.from(await owner.guest.domain.memoryPeek(address, PAGE_BYTES)).includes(PASSPHRASE);
      const before = await isSeen();
      const printed = await keepConsole(context, owner.guest, 'with the secret');
      await owner.guest.resume();
      if (place.because !== undefined) skipCheck('arrives', place.because);
      else await checkArrival(context, printed, isIn);
      if (isIn)
        check('hidden', {
          expected: { paused: false, running: false },
          actual: { paused: before, running: await isSeen() },
        });
      else skipCheck('hidden', 'the secret was not accepted');
    });

    await step('inject again', async () => {
      const late: HostAnswer[] = [];
      const packet = sealFor(owner, table);
      late.push(await inject(owner, packet));
      await owner.guest.domain.suspend();
      late.push(await inject(owner, packet));
      check('late-refused', {
        expected: ['refused while running', 'refused once it has run'],
        actual: late.map((answer, at) => describeLate(answer, at)),
      });
      late.forEach((answer, at) => {
        texts[LATE[at]?.name ?? ''] = 'accepted' in answer ? 'accepted' : answer.text;
      });
      evidence.attach('refusals.json', JSON.stringify(texts, null, 2), 'application/json');
    });
    for (const { guest } of [owner, other]) await guest.stop();
  },
);

async function checkArrival({ host, check, skipCheck, signal }: ScenarioContext, printed: GuestConsole, isIn: boolean) {
  if (!isIn) return skipCheck('arrives', 'the secret was not accepted');
  await printed.waitFor('secrets', { timeoutMs: BOOT_TIMEOUT_MS[host.kind], signal });
  const found = printed.all('secret').map(({ guid, sha256 }) => ({ guid, sha256 }));
  check('arrives', { expected: [{ guid: LUKS_GUID, sha256: sha256Hex(PASSPHRASE) }], actual: found });
}

/** The firmware's number in QEMU's words. */
function firmwareStatus(answer: HostAnswer): number | string {
  if ('accepted' in answer) return 'accepted';
  return firmwareStatusIn(answer.text, 'failed to inject secret') ?? answer.text;
}

const LATE = [
  { words: /domain must be in a paused state/, name: 'refused while running' },
  { words: /SEV: Not in correct state\. \(LSECRET\) 3/, name: 'refused once it has run' },
];

function describeLate(answer: HostAnswer, at: number): string {
  if ('accepted' in answer) return 'accepted';
  const known = LATE[at];
  return known?.words.test(answer.text) ? known.name : answer.text;
}
