import {
  advertisedLimits,
  allowLaunches,
  capabilitiesOf,
  countPlainGuests,
  countRunning,
  encryptionInventory,
  fillSlots,
  GuestLauncher,
  hardwareLimits,
  launchEach,
  launchTogether,
  type RunningGuest,
  type ScenarioContext,
  SLOT_TIMELINE_TYPE,
  scenario,
  slotLimit,
  slotRoom,
  slotsInUse,
  stopAll,
  usualKind,
} from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const ASIDS = 'SEV API specification, section 6.19 ACTIVATE; Linux arch/x86/kvm/svm/sev.c, sev_asid_new';
/** No session is this short: LAUNCH_START refuses it after the kernel gave the guest its slot. */
const SHORT_SESSION = { dhCert: 'AAAA', session: 'AAAA' };
/** Where nobody says how many guests a host without slots shall run. */
const PLAIN_GUESTS = 3;

/** What needs a host with slots. */
const SLOT_CHECKS = {
  'limit-agrees': { title: 'libvirt and the hardware name the same number of slots', source: ASIDS },
  'fills-to-limit': { title: 'every promised slot takes a guest, and all of them run', source: NOVA },
  'refused-beyond-limit': { title: 'one guest more than promised is refused', source: NOVA },
  'refusal-names-cause': { title: "the host's message says that no slot is free", source: ASIDS },
  'refused-guest-left-nothing': { title: 'the refused guest is neither running nor defined' },
  'refused-persistent-guest-is-off': {
    title: 'a defined guest that is refused stays shut off and can be undefined',
  },
  'others-still-run': { title: 'the guests that hold a slot still run after the refusals' },
  'stop-frees-one-slot': { title: 'after one guest stops, exactly one more starts', source: ASIDS },
  'kill-frees-one-slot': { title: 'after one QEMU is killed, exactly one more guest starts', source: ASIDS },
  'failed-launch-frees-slot': { title: 'a launch that the firmware refuses gives its slot back', source: ASIDS },
  'plain-guest-starts': { title: 'a guest without encryption starts although every slot is in use' },
  'concurrent-starts-fill-exactly': {
    title: 'of twice as many concurrent starts, exactly the promised number succeeds',
  },
  'inventory-matches': {
    title: "nova's inventory, computed from what the host says, equals what was observed",
    source: NOVA,
  },
  'nothing-lost': { title: 'at the end as many slots are in use as at the start' },
} as const;

/** What a run shows that `--max-guests` holds below the limit. */
const BELOW_LIMIT: ReadonlySet<string> = new Set(['limit-agrees', 'fills-to-limit', 'nothing-lost']);

/** What any host can show. */
const GUEST_CHECKS = {
  'stop-is-announced': { title: 'a stopped guest is announced by a lifecycle event' },
  'plain-guests-counted': {
    title:
      'of guests without encryption the host lists as many as run: after starts, a stop, a kill and a failed launch, and none in the end',
  },
} as const;

scenario(
  {
    id: 'slot-limit',
    title:
      'The host runs exactly as many SEV guests as it promises, says why it refuses the next, and takes slots back',
    source: [
      `${NOVA}: "MEM_ENCRYPTION_CONTEXT resource class which represents the number of guests with secure encrypted memory which a compute host can run concurrently"`,
      `${NOVA}: "on EPYC machines the maximum number of SEV guests supported is expected to be 15"`,
    ],
    needs: [],
    maturity: 'stable',
    checks: { ...SLOT_CHECKS, ...GUEST_CHECKS },
  },
  async (context) => {
    const launcher = new GuestLauncher(context);
    const { settings, step, skipCheck } = context;
    const kind = usualKind(context);
    if (kind === 'sev') await checkSlots(context, launcher);
    else
      for (const id of Object.keys(SLOT_CHECKS))
        skipCheck(id, `needs sev: ${capabilitiesOf(context.facts).sev.because}`);
    await step('guests without encryption come and go', async () => {
      const most = settings.maxGuests ?? PLAIN_GUESTS;
      const count = kind === 'plain' ? most : Math.min(most, PLAIN_GUESTS);
      const counted = await countPlainGuests(context, launcher, count, (guest) =>
        kind === 'plain' ? announcedStop(context, guest) : guest.stop(),
      );
      context.check('plain-guests-counted', counted);
    });
  },
);

async function checkSlots(context: ScenarioContext, launcher: GuestLauncher): Promise<void> {
  const { host, facts, settings, step, check, skipCheck, note, evidence } = context;
  const promised = slotLimit(facts, 'sev', settings.maxGuests);
  const { limit, source } = promised;
  const before = await slotsInUse(host);
  const { free, guests: count, howMany, heldBack } = slotRoom(promised, before.sev, settings.maxGuests);
  note(`limit ${limit} (from ${source}); ${before.sev} in use by guests that are not ours, which stay untouched`);

  await launcher.assertMemoryFor(count + 1);
  allowLaunches(context, 3 * count);

  const advertised = advertisedLimits(facts, 'sev');
  const hardware = hardwareLimits(facts, 'sev');
  if (Object.keys(hardware).length === 0)
    skipCheck('limit-agrees', 'neither CPUID nor misc.capacity of the host can be read');
  else if (Object.keys(advertised).length === 0) skipCheck('limit-agrees', 'libvirt does not name a limit');
  else {
    const numbers = { ...advertised, ...hardware };
    check('limit-agrees', {
      expected: Object.fromEntries(Object.keys(numbers).map((name) => [name, limit])),
      actual: numbers,
      because: `libvirt and the hardware disagree: ${Object.entries(numbers)
        .map(([name, value]) => `${name} says ${value}`)
        .join(', ')}`,
    });
  }

  try {
    const guests = await step(`fill ${howMany} slots`, async () => {
      const filled = await fillSlots(launcher, 'sev', count);
      const running = await countRunning(filled.guests);
      if (heldBack !== undefined && running === count) skipCheck('fills-to-limit', heldBack);
      else
        check('fills-to-limit', {
          expected: { started: count, running: count },
          actual: { started: filled.guests.length, running },
          ...(filled.refusal === undefined ? {} : { because: filled.refusal.text }),
        });
      return filled.guests;
    });

    if (heldBack === undefined) await checkAtLimit(context, launcher, guests, { limit, free, others: before.sev });
    else await checkBelowLimit(context, guests, heldBack);

    const after = await slotsInUse(host);
    check('nothing-lost', { expected: before.sev, actual: after.sev });
  } finally {
    const timeline = launcher.timeline([{ name: 'sev', limit }]);
    evidence.attach('slot-timeline.json', JSON.stringify(timeline), SLOT_TIMELINE_TYPE);
  }
}

/** With every slot in use: who is refused, who is not, and what gives a slot back. */
async function checkAtLimit(
  context: ScenarioContext,
  launcher: GuestLauncher,
  guests: RunningGuest[],
  { limit, free, others }: { limit: number; free: number; others: number },
): Promise<void> {
  const { host, step, check, skipCheck, note, evidence } = context;
  await step('start one guest more', () => refuseOneMore(context, launcher, guests));

  await step('stop one guest, start two', async () => {
    const stopped = guests.shift();
    await announcedStop(context, stopped);
    if (stopped === undefined) return skipCheck('stop-frees-one-slot', 'no guest is running');
    await expectExactlyOneMore(context, launcher, guests, 'stop-frees-one-slot', 'after-stop');
  });

  await step('kill one QEMU, start two', async () => {
    const [killed] = guests;
    if (killed === undefined) return skipCheck('kill-frees-one-slot', 'no guest is running');
    const refused = await killed.kill();
    if (refused !== undefined) return skipCheck('kill-frees-one-slot', refused.outOfReach);
    guests.shift();
    await expectExactlyOneMore(context, launcher, guests, 'kill-frees-one-slot', 'after-kill');
  });

  await step('let a launch fail in the firmware, start two', async () => {
    const stopped = guests.shift();
    if (stopped === undefined) return skipCheck('failed-launch-frees-slot', 'no guest is running');
    await stopped.stop();
    const failing = await launcher.launch('sev', 'bad-session', { session: SHORT_SESSION });
    if (failing.outcome === 'started') {
      check('failed-launch-frees-slot', { expected: 'refused by firmware', actual: 'started' });
      return failing.guest.stop();
    }
    evidence.attach('firmware-refusal.txt', failing.refusal.text);
    note(failing.refusal.words);
    return expectExactlyOneMore(context, launcher, guests, 'failed-launch-frees-slot', 'after-failure');
  });

  await step('start a guest without encryption', async () => {
    const plain = await launcher.launch('plain', 'plain');
    check('plain-guest-starts', {
      expected: 'started',
      actual: plain.outcome,
      ...(plain.outcome === 'refused' ? { because: plain.refusal.text } : {}),
    });
    if (plain.outcome === 'started') await plain.guest.stop();
  });

  await step('compare with the inventory that nova would report', async () => {
    const observed = await slotsInUse(host);
    const inventory = encryptionInventory(limit, others + guests.length);
    check('inventory-matches', {
      expected: { total: inventory.total, used: inventory.used },
      actual: { total: others + guests.length, used: observed.sev },
    });
    note(`set [libvirt]num_memory_encrypted_guests = ${limit} in nova.conf if this host's nova does not detect it`);
  });

  await step('stop all', () => stopAll(guests));

  await step(`start ${2 * free} guests, several at once`, async () => {
    const launches = await launchTogether(launcher, 'sev', 'concurrent', 2 * free);
    const started = launches.flatMap((launch) => (launch.outcome === 'started' ? [launch.guest] : []));
    check('concurrent-starts-fill-exactly', {
      expected: { started: free, running: free },
      actual: { started: started.length, running: await countRunning(started) },
    });
    await stopAll(started);
  });
}

async function checkBelowLimit(context: ScenarioContext, guests: RunningGuest[], heldBack: string): Promise<void> {
  const { step, skipCheck } = context;
  for (const id of Object.keys(SLOT_CHECKS)) if (!BELOW_LIMIT.has(id)) skipCheck(id, heldBack);
  await step('stop one guest', () => announcedStop(context, guests.shift()));
  await step('stop all', () => stopAll(guests));
}

async function refuseOneMore(context: ScenarioContext, launcher: GuestLauncher, guests: readonly RunningGuest[]) {
  const { host, check, skipCheck, note, evidence } = context;
  const extra = await launcher.launch('sev', 'beyond');
  check('refused-beyond-limit', { expected: 'refused', actual: extra.outcome });
  if (extra.outcome === 'refused') {
    const { text, cause, words } = extra.refusal;
    evidence.attach('refusal.txt', text);
    note(words);
    check('refusal-names-cause', { expected: 'no-free-slot', actual: cause, because: text });
    const left = (await host.connection.listDomains()).filter((domain) => domain.name === extra.name);
    check('refused-guest-left-nothing', { expected: [], actual: left.map((domain) => domain.name) });
  } else {
    skipCheck('refusal-names-cause', 'the guest was not refused');
    check('refused-guest-left-nothing', {
      expected: 'no guest beyond the limit',
      actual: `${extra.guest.name} is ${await extra.guest.currentState()}`,
    });
    await extra.guest.stop();
  }

  const persistent = launcher.define('sev', 'defined');
  const domain = await host.connection.defineDomain(persistent.xml);
  const outcome = await domain.start().then(
    () => 'started',
    () => 'refused',
  );
  const { state } = await domain.state();
  if (state !== 'shutoff') await domain.destroy();
  await domain.undefine({ nvram: true });
  const left = (await host.connection.listDomains()).filter(({ name }) => name === persistent.name);
  check('refused-persistent-guest-is-off', {
    expected: { outcome: 'refused', state: 'shutoff', leftAfterUndefine: 0 },
    actual: { outcome, state, leftAfterUndefine: left.length },
  });

  check('others-still-run', { expected: guests.length, actual: await countRunning(guests) });
}

/** Stops a guest and checks that the host announces it. */
async function announcedStop(context: ScenarioContext, guest: RunningGuest | undefined): Promise<void> {
  const { host, check, skipCheck } = context;
  if (guest === undefined) return skipCheck('stop-is-announced', 'no guest is running');
  const events: string[] = [];
  const deregister = await host.connection.onLifecycle(({ domain, event }) => {
    if (domain.name === guest.name) events.push(event);
  });
  try {
    await guest.stop();
    // Events travel on the connection in order: after one more reply, those of the stop have arrived.
    await host.connection.hostname();
  } finally {
    await deregister();
  }
  check('stop-is-announced', { expected: 'stopped', actual: events, passed: events.includes('stopped') });
}

/** With one slot free, of two starts the first must succeed and the second be refused. */
async function expectExactlyOneMore(
  { check }: ScenarioContext,
  launcher: GuestLauncher,
  guests: RunningGuest[],
  id: string,
  role: string,
): Promise<void> {
  const pair = await launchEach(launcher, 'sev', role, 2);
  guests.push(...pair.guests);
  check(id, {
    expected: ['started', 'refused'],
    actual: pair.outcomes,
    because: pair.refusals[0] ?? 'the host refused neither',
  });
}
