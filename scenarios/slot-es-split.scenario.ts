import {
  advertisedLimits,
  allowLaunches,
  checkFilled,
  checkOneMore,
  fillSlots,
  GuestLauncher,
  hardwareLimits,
  launchEach,
  SLOT_TIMELINE_TYPE,
  scenario,
  slotLimit,
  slotRoom,
  slotsInUse,
  stopAll,
} from '../harness/test.ts';

const RANGES =
  'SEV API specification, section 6.19.1: an SEV-ES guest takes an ASID below MIN_SEV_ASID, an SEV guest one from MIN_SEV_ASID up';

scenario(
  {
    id: 'slot-es-split',
    title: 'SEV and SEV-ES guests draw from separate ranges: filling one takes nothing from the other',
    source: [RANGES, 'nova documentation: SEV and SEV-ES capacity are separate inventories'],
    needs: ['sev', 'sev-es'],
    maturity: 'stable',
    checks: {
      'es-limit-agrees': { title: 'libvirt and the hardware name the same number of SEV-ES slots', source: RANGES },
      'es-fills-to-limit': { title: 'every promised SEV-ES slot takes a guest', source: RANGES },
      'es-refused-beyond-limit': { title: 'one SEV-ES guest more than promised is refused', source: RANGES },
      'sev-unaffected-by-es': {
        title: 'with all SEV-ES slots in use, every SEV slot still takes a guest',
        source: RANGES,
      },
      'sev-refused-beyond-limit': { title: 'with both ranges full, an SEV guest is refused', source: RANGES },
      'es-unaffected-by-sev': {
        title: 'with all SEV slots in use, every SEV-ES slot takes a guest again',
        source: RANGES,
      },
      'plain-guest-starts': { title: 'with both ranges full, a guest without encryption starts' },
      'nothing-lost': { title: 'at the end as many slots of each range are in use as at the start' },
    },
  },
  async (context) => {
    const { host, facts, settings, step, check, skipCheck, note, evidence } = context;
    const launcher = new GuestLauncher(context);
    const before = await slotsInUse(host);
    const limits = {
      sev: slotLimit(facts, 'sev', settings.maxGuests),
      'sev-es': slotLimit(facts, 'sev-es', undefined),
    };
    const room = {
      sev: slotRoom(limits.sev, before.sev, settings.maxGuests),
      'sev-es': slotRoom(limits['sev-es'], before['sev-es'], settings.maxGuests),
    };
    const heldBack = room.sev.heldBack ?? room['sev-es'].heldBack;
    note(
      `SEV ${limits.sev.limit} (from ${limits.sev.source}), SEV-ES ${limits['sev-es'].limit} (from ${limits['sev-es'].source})`,
    );

    await launcher.assertMemoryFor(room.sev.guests + room['sev-es'].guests + 1);
    allowLaunches(context, room.sev.guests + 2 * room['sev-es'].guests);

    const numbers = { ...advertisedLimits(facts, 'sev-es'), ...hardwareLimits(facts, 'sev-es') };
    if (Object.keys(hardwareLimits(facts, 'sev-es')).length === 0)
      skipCheck('es-limit-agrees', 'neither CPUID nor misc.capacity of the host can be read');
    else
      check('es-limit-agrees', {
        expected: Object.fromEntries(Object.keys(numbers).map((name) => [name, limits['sev-es'].limit])),
        actual: numbers,
      });

    try {
      const es = await step(`fill ${room['sev-es'].howMany} SEV-ES slots`, async () => {
        const filled = await fillSlots(launcher, 'sev-es', room['sev-es'].guests);
        checkFilled(context, 'es-fills-to-limit', filled, room['sev-es']);
        const { heldBack } = room['sev-es'];
        const extra = await checkOneMore(context, 'es-refused-beyond-limit', launcher, 'sev-es', heldBack);
        return [...filled.guests, ...extra];
      });

      const sev = await step(`fill ${room.sev.howMany} SEV slots as well`, async () => {
        const filled = await fillSlots(launcher, 'sev', room.sev.guests);
        checkFilled(context, 'sev-unaffected-by-es', filled, { ...room.sev, heldBack });
        const extra = await checkOneMore(context, 'sev-refused-beyond-limit', launcher, 'sev', heldBack);
        return [...filled.guests, ...extra];
      });

      await step('start a guest without encryption', async () => {
        if (heldBack !== undefined) return skipCheck('plain-guest-starts', heldBack);
        const plain = await launchEach(launcher, 'plain', 'plain', 1);
        check('plain-guest-starts', { expected: ['started'], actual: plain.outcomes });
        await stopAll(plain.guests);
      });

      await step('stop the SEV-ES guests and fill their slots again', async () => {
        await stopAll(es);
        const filled = await fillSlots(launcher, 'sev-es', room['sev-es'].guests);
        checkFilled(context, 'es-unaffected-by-sev', filled, { ...room['sev-es'], heldBack });
        await stopAll(filled.guests);
      });

      await step('stop all', () => stopAll(sev));
      check('nothing-lost', { expected: { ...before }, actual: { ...(await slotsInUse(host)) } });
    } finally {
      const pools = (['sev', 'sev-es'] as const).map((name) => ({ name, limit: limits[name].limit }));
      evidence.attach('slot-timeline.json', JSON.stringify(launcher.timeline(pools)), SLOT_TIMELINE_TYPE);
    }
  },
);
