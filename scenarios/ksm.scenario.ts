import {
  agentLaunch,
  borrowKsm,
  capabilitiesOf,
  GuestLauncher,
  hurryKsm,
  keepConsole,
  mergingPages,
  randomBytesHex,
  readKsm,
  restoreKsm,
  type ScenarioContext,
  scenario,
  usualKind,
  waitForScans,
} from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const SEED = `${NOVA}: "Memory deduplication mechanisms such as KSM (kernel samepage merging) would be rendered ineffective."`;
/** Pages that each guest fills with known content; on a real host enough to stand out from what merges anyway. */
const PAGES = { emulated: 256, real: 16_384 } as const;
const MEMORY_MIB = { emulated: 16, real: 512 } as const;
const BOOT_TIMEOUT_MS = 120_000;
const SCANS_TIMEOUT_MS = 300_000;
/**
 * A page is merged when it is met unchanged a second time, and its twin after it. KSM that ran while the guests booted
 * passes over pages that it has seen change (smart_scan), for up to eight scans.
 */
const SCANS = { fresh: 4, ongoing: 16 } as const;
/** Of the equal pages: what merges anyway differs by up to 2700 pages between guests that booted alike (kernel 6.18, TCG). */
const MERGED = 1 / 2;
/** QEMU does not even offer KSM the pages of a confidential guest (hw/core/machine.c, `machine_run_board_init`). */
const NOT_MERGED = 1 / 8;

scenario(
  {
    id: 'ksm',
    title: 'Equal pages of two guests are merged by their host, and those of encrypted guests are not',
    source: [SEED],
    needs: [],
    maturity: 'experimental',
    checks: {
      'plain-guests-merge': {
        title: 'equal pages of guests without encryption are merged: merging works on this host',
      },
      'sev-guests-stay-apart': { title: 'equal pages of encrypted guests are not merged', source: SEED },
      'left-as-found': { title: 'kernel samepage merging is set at the end as it was at the start' },
    },
  },
  async (context) => {
    const { host, facts, check, skipCheck, step } = context;
    const kind = usualKind(context);
    const ksm = await step('look at kernel samepage merging', () => borrowKsm(context));
    if ('outOfReach' in ksm) {
      for (const id of ['plain-guests-merge', 'sev-guests-stay-apart', 'left-as-found']) skipCheck(id, ksm.outOfReach);
      return;
    }
    const launcher = new GuestLauncher(context);
    await launcher.assertMemoryFor(3, MEMORY_MIB[host.kind]);
    const pages = PAGES[host.kind];
    const [seed, other] = [randomBytesHex(8), randomBytesHex(8)];

    /** Boots guests with equal pages for each seed, and says how many pages of each are merged, or why nobody knows. */
    const mergedOf = async (
      guestKind: 'plain' | 'sev',
      seeds: readonly string[],
    ): Promise<number[] | { readonly outOfReach: string }> => {
      const guests = [];
      const booting: (() => Promise<void>)[] = [];
      for (const [index, own] of seeds.entries()) {
        const role = `${guestKind}-${index}`;
        const { guest, booted } = await startWithPages(context, launcher, guestKind, role, { pages, seed: own });
        guests.push(guest);
        booting.push(booted);
      }
      for (const booted of booting) await booted();
      if (!ksm.isRunning) await hurryKsm(host, ksm);
      const scans = ksm.isRunning ? SCANS.ongoing : SCANS.fresh;
      const slow = await waitForScans(host, scans, { timeoutMs: SCANS_TIMEOUT_MS, signal: context.signal });
      const counts = await Promise.all(guests.map((guest) => mergingPages(host, guest.name)));
      if (!ksm.isRunning) await restoreKsm(host, ksm);
      for (const guest of guests) await guest.stop();
      return slow ?? counts.find((count) => typeof count === 'object') ?? counts.map(Number);
    };

    const plain = await step('three guests without encryption, two of them with equal pages', () =>
      mergedOf('plain', [seed, seed, other]),
    );
    if ('outOfReach' in plain) {
      for (const id of ['plain-guests-merge', 'sev-guests-stay-apart']) skipCheck(id, plain.outOfReach);
    } else {
      const [one = 0, two = 0, apart = 0] = plain;
      // What merges anyway, as empty pages and the kernel's own do, shows in the guest with other pages.
      const gained = Math.min(one, two) - apart;
      check('plain-guests-merge', {
        expected: `at least ${MERGED * pages} pages more than of the third, which has none of the ${pages} equal ones`,
        actual: `${gained} more: ${one}, ${two} and ${apart} pages are merged`,
        passed: gained >= MERGED * pages,
      });
      if (kind === 'plain') skipCheck('sev-guests-stay-apart', `needs sev: ${capabilitiesOf(facts).sev.because}`);
      else {
        const encrypted = await step('two SEV guests with equal pages', () => mergedOf('sev', [seed, seed]));
        if ('outOfReach' in encrypted) skipCheck('sev-guests-stay-apart', encrypted.outOfReach);
        else
          check('sev-guests-stay-apart', {
            expected: `fewer than ${NOT_MERGED * pages} of ${pages} pages`,
            actual: `${encrypted.join(' and ')} pages are merged`,
            passed: encrypted.every((count) => count < NOT_MERGED * pages),
          });
      }
    }
    const now = await readKsm(host);
    check('left-as-found', { expected: ksm.found, actual: 'found' in now ? now.found : now.outOfReach });
  },
);

/** Starts a guest that will have these pages; `booted` returns when it has. */
async function startWithPages(
  context: ScenarioContext,
  launcher: GuestLauncher,
  kind: 'plain' | 'sev',
  role: string,
  equalPages: { readonly pages: number; readonly seed: string },
) {
  const { host, settings, signal } = context;
  const launch = await agentLaunch({ host, settings }, { equalPages });
  const options = { ...launch, memoryMiB: MEMORY_MIB[host.kind], isPaused: true } as const;
  const paused = await launcher.launchOrFail(kind, role, options);
  const console = await keepConsole(context, paused, role);
  const guest = await paused.resume();
  const booted = async () => {
    await console.waitFor('equal-pages', { timeoutMs: BOOT_TIMEOUT_MS, signal });
    await console.waitFor('idle', { timeoutMs: BOOT_TIMEOUT_MS, signal });
  };
  return { guest, booted };
}
