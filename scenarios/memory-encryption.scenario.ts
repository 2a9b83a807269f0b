import {
  agentLaunch,
  canaryPlaces,
  capabilitiesOf,
  countsText,
  entropyBits,
  GuestLauncher,
  histogramOf,
  hitsOutside,
  keepConsole,
  type LiveGuest,
  MEMORY_PICTURE_TYPE,
  type MemorySurvey,
  memoryPicture,
  type RunningGuest,
  randomBytesHex,
  routesText,
  scanGuest,
  scenario,
  surveyMemory,
  usualKind,
} from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const TWEAK = `${NOVA}: "two identical plaintext pages at a different locations will have different ciphertexts"`;
const BOOT_TIMEOUT_MS = 120_000;
const CANARY_BYTES = 32;
const CANARY_KIB = 256;
/** An emulated guest needs no more, and a real one boots through OVMF with this. */
const MEMORY_MIB = { emulated: 16, real: 512 } as const;
/** Ciphertext of 32 KiB has 7.99 bits per byte; a page full of the canary has at most 5. */
const RANDOM_BITS = 7.9;
const PROGRESS_EVERY_MS = 5000;

/** What only a host with SEV can show. */
const ENCRYPTED_HALF = [
  'shared-pages-show',
  'private-pages-hide',
  'private-looks-random',
  'addresses-differ',
  'guests-differ',
] as const;

scenario(
  {
    id: 'memory-encryption',
    title: "A guest's private memory is ciphertext to its host, and what it shares is not",
    source: [
      `${NOVA}: "SEV protects data of a VM from attacks originating from outside the VM, including the hypervisor and other VMs"`,
      TWEAK,
    ],
    needs: [],
    maturity: 'experimental',
    checks: {
      'plain-guest-shows': {
        title: 'the same readings find the canary in a guest without encryption: it could be found',
      },
      'routes-agree': { title: 'all ways of reading show the same bytes at the same place' },
      'shared-pages-show': { title: 'the canary is found in the pages that the encrypted guest shares' },
      'private-pages-hide': { title: 'the canary is not found in private pages, by any way of reading', source: NOVA },
      'private-looks-random': { title: 'private pages full of the canary look like random bytes' },
      'addresses-differ': {
        title: 'private pages with the same content do not look the same at different addresses',
        source: TWEAK,
      },
      'guests-differ': {
        title: 'private pages with the same content do not look the same in two guests',
        source: NOVA,
      },
      'nothing-left-over': { title: 'the memory of the guests that ended does not show in the next guest' },
    },
  },
  async (context) => {
    const { host, facts, settings, step, check, skipCheck, note, evidence, signal, nowMs } = context;
    const kind = usualKind(context);
    const launcher = new GuestLauncher(context);
    const memoryMiB = MEMORY_MIB[host.kind];
    await launcher.assertMemoryFor(1, memoryMiB);
    const canaryHex = randomBytesHex(CANARY_BYTES);
    const token = Buffer.from(canaryHex, 'hex');
    const scanWhole = (guest: LiveGuest) => {
      let notedAtMs = nowMs();
      const onProgress = ({ scannedBytes, ofBytes }: { scannedBytes: number; ofBytes: number }) => {
        if (nowMs() - notedAtMs < PROGRESS_EVERY_MS) return;
        notedAtMs = nowMs();
        note(`${Math.round((scannedBytes / ofBytes) * 100)} % of ${ofBytes / 2 ** 20} MiB scanned`);
      };
      return scanGuest(host, guest, { token, signal, onProgress });
    };

    /** Boots a guest, reads it, and ends it: the next one has the same memory to itself. */
    const read = async <Rest>(
      guestKind: 'plain' | 'sev',
      role: string,
      more: (guest: RunningGuest) => Promise<Rest>,
    ) => {
      const launch = await agentLaunch({ host, settings }, { canaryHex, canaryKiB: CANARY_KIB });
      const paused = await launcher.launchOrFail(guestKind, role, { ...launch, memoryMiB, isPaused: true });
      const console = await keepConsole(context, paused, role);
      const guest = await paused.resume();
      const places = await canaryPlaces(console, { timeoutMs: BOOT_TIMEOUT_MS, signal });
      const survey = await surveyMemory(host, guest, places, { token, signal });
      const rest = await more(guest);
      await guest.stop();
      return { name: role, places, survey, rest };
    };

    const plain = await step('read a guest without encryption', () => read('plain', 'plain', scanWhole));
    const all = plain.survey.reached.map(({ route }) => route.title);
    check('plain-guest-shows', { expected: all, actual: routesWith(plain.survey, 'privateHits') });
    evidence.attach('ways of reading.txt', routesText(plain.survey));
    const scans = [{ name: 'without encryption', scan: plain.rest }];
    if (kind === 'plain') {
      check('routes-agree', { expected: [], actual: disagreements(plain) });
      for (const id of ENCRYPTED_HALF) skipCheck(id, `needs sev: ${capabilitiesOf(facts).sev.because}`);
    } else {
      const one = await step('read an SEV guest', () => read('sev', 'one', scanWhole));
      const two = await step('read another SEV guest', () => read('sev', 'two', async () => {}));
      check('routes-agree', { expected: [], actual: [plain, one, two].flatMap(disagreements) });
      const { because } = one.places;
      if (one.places.shared.length === 0) skipCheck('shared-pages-show', `the guest shared no canary: ${because}`);
      else check('shared-pages-show', { expected: all, actual: routesWith(one.survey, 'sharedHits') });
      check('private-pages-hide', {
        expected: [],
        actual: [...routesWith(one.survey, 'privateHits'), ...hitsOutside(one.rest, one.places.shared)],
      });
      const bits = entropyBits(histogramOf(one.survey.privateBytes));
      check('private-looks-random', {
        expected: `above ${RANDOM_BITS} bits per byte`,
        actual: `${bits.toFixed(2)} bits per byte`,
        passed: bits > RANDOM_BITS,
      });
      const { privatePages } = one.survey;
      check('addresses-differ', { expected: privatePages.length, actual: new Set(privatePages).size });
      const alike = privatePages.filter((page) => two.survey.privatePages.includes(page));
      check('guests-differ', { expected: 0, actual: alike.length });
      scans.push({ name: 'with SEV', scan: one.rest });
    }
    evidence.attach('memory-picture.json', JSON.stringify(memoryPicture(scans)), MEMORY_PICTURE_TYPE);
    evidence.attach('counts.txt', countsText(scans));

    await step('read a guest that has not run', async () => {
      // A guest that has not run has no memory yet, unless it takes all of it at the start.
      const next = await launcher.launchOrFail('plain', 'next', { memoryMiB, isPreallocated: true, isPaused: true });
      const { token: found } = await scanWhole(next);
      check('nothing-left-over', { expected: 0, actual: found?.hits ?? 0 });
      await next.stop();
    });
  },
);

function routesWith({ reached }: MemorySurvey, hits: 'privateHits' | 'sharedHits'): string[] {
  return reached.filter((found) => found[hits] > 0).map(({ route }) => route.title);
}

/** Ways of reading whose bytes of the private places are not those of the first way. */
function disagreements({ name, survey }: { readonly name: string; readonly survey: MemorySurvey }): string[] {
  const [first, ...others] = survey.reached;
  return others
    .filter(({ privateSha256 }) => privateSha256 !== first?.privateSha256)
    .map(({ route }) => `${name}: ${route.title} and ${first?.route.title}`);
}
