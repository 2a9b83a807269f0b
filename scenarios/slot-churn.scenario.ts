import {
  allowLaunches,
  checkFilled,
  checkOneMore,
  fillSlots,
  GuestLauncher,
  SLOT_TIMELINE_TYPE,
  scenario,
  slotLimit,
  slotRoom,
  slotsInUse,
  stopAll,
} from '../harness/test.ts';

const RECLAIM =
  'Linux arch/x86/kvm/svm/sev.c: a freed ASID is used again only after WBINVD and DF_FLUSH, when the range is dry';

scenario(
  {
    id: 'slot-churn',
    title: 'Slots come back however often guests come and go: more launches than there are keys, and none is lost',
    source: [
      'SEV API specification, section 6.20 DEACTIVATE and 6.22 DF_FLUSH',
      'nova specification: "Guest VMs may fail to launch if the host\'s real capacity is exceeded"',
    ],
    needs: ['sev'],
    maturity: 'stable',
    checks: {
      'every-launch-starts': {
        title: 'with a slot free, every launch starts, also after all keys were used once',
        source: RECLAIM,
      },
      'capacity-unchanged': { title: 'after the churn the host still takes as many guests as before', source: RECLAIM },
      'still-refuses': { title: 'after the churn one guest more than promised is still refused' },
      'nothing-lost': { title: 'at the end as many slots are in use as at the start' },
    },
  },
  async (context) => {
    const { host, facts, settings, step, check, note, evidence } = context;
    const launcher = new GuestLauncher(context);
    const promised = slotLimit(facts, 'sev', settings.maxGuests);
    const { limit, source } = promised;
    const before = await slotsInUse(host);
    const room = slotRoom(promised, before.sev, settings.maxGuests);
    await launcher.assertMemoryFor(room.guests + 1);
    // Twice through all keys and a few more: the reclaim must happen at least twice.
    const launches = 2 * limit + 3;
    allowLaunches(context, launches + room.guests);
    note(`limit ${limit} (from ${source}); ${launches} launches, one guest at a time`);

    try {
      await step(`start and stop ${launches} guests`, async () => {
        let started = 0;
        let refusal: string | undefined;
        while (started < launches && refusal === undefined) {
          const launch = await launcher.launch('sev', 'churn');
          if (launch.outcome === 'refused') {
            refusal = launch.refusal.text;
          } else {
            started++;
            await launch.guest.stop();
          }
        }
        check('every-launch-starts', {
          expected: launches,
          actual: started,
          ...(refusal === undefined ? {} : { because: `launch ${started + 1}: ${refusal}` }),
        });
      });

      await step(`fill ${room.howMany} slots again`, async () => {
        const filled = await fillSlots(launcher, 'sev', room.guests);
        checkFilled(context, 'capacity-unchanged', filled, room);
        const extra = await checkOneMore(context, 'still-refuses', launcher, 'sev', room.heldBack);
        await stopAll([...extra, ...filled.guests]);
      });

      check('nothing-lost', { expected: before.sev, actual: (await slotsInUse(host)).sev });
    } finally {
      evidence.attach(
        'slot-timeline.json',
        JSON.stringify(launcher.timeline([{ name: 'sev', limit }])),
        SLOT_TIMELINE_TYPE,
      );
    }
  },
);
