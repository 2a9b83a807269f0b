import {
  countRunning,
  GuestLauncher,
  howLimitEnds,
  impossibleMemoryMiB,
  type Launch,
  type LimitVerdict,
  MAY_NOT_LOCK,
  type RunningGuest,
  readOomRecord,
  readQemuMemory,
  readSliceLimits,
  scenario,
  stopAll,
  usualKind,
} from '../harness/test.ts';

const ARTICLE = 'libvirt, "Launch security with AMD SEV", section Memory';
const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const RAM_MIB = 1024;
/** "256MiB extra memory over the total guest RAM should suffice for most workloads" */
const EXTRA_MIB = 256;
const MIB = 1024;
/** UEFI image and variables, ROMs and ACPI tables, by the nova specification for Stein. */
const DOCUMENTED_REGIONS_KIB = 10_832;
const NO_LIMITS = new RegExp(
  `${MAY_NOT_LOCK.source}|Memory tuning is not available in session mode|Memory cgroup is not available`,
);
const LOCKED_CHECKS = ['locked-starts', 'locked-unlimited', 'locked-size'] as const;
const LIMIT_CHECKS = ['hard-limit-starts', 'hard-limit-applied', 'hard-limit-size'] as const;

scenario(
  {
    id: 'memory-pinning',
    title: 'Encrypted memory is pinned within the limits that were given, and nobody else pays for it',
    source: [
      `${ARTICLE}: "the encrypted memory pages won't be swapped out or move around so the VM memory needs to be pinned"`,
      `${NOVA}: "the VMs would fail to launch in the first place"`,
    ],
    needs: [],
    maturity: 'experimental',
    checks: {
      'locked-starts': { title: '<locked/> lets the guest start', source: ARTICLE },
      'locked-unlimited': { title: 'and takes the limit on locked memory away', source: `${ARTICLE}: "unlimited"` },
      'locked-size': { title: 'at least its RAM is locked', source: NOVA },
      'hard-limit-starts': { title: 'a hard limit of RAM and 256 MiB lets it start', source: ARTICLE },
      'hard-limit-applied': { title: 'and is the limit of QEMU, of its cgroup and what libvirt says' },
      'hard-limit-size': { title: 'all of its RAM is in memory, with little more than the documented regions' },
      'small-limits-stop': { title: 'a limit that is too small refuses or kills the guest', source: ARTICLE },
      'in-machine-slice': { title: 'guests are in machine.slice, whose limits protect the host', source: ARTICLE },
      'too-large-refused': { title: 'a guest larger than the host is refused', source: NOVA },
      'others-survive': { title: 'running guests outlive a start that failed for lack of memory', source: NOVA },
    },
  },
  async (context) => {
    const { host, step, check, skipCheck, note, evidence } = context;
    const kind = usualKind(context);
    const launcher = new GuestLauncher(context);
    const running: RunningGuest[] = [];
    const launch = async (
      role: string,
      memoryLimit: 'locked' | 'none' | { hardLimitMiB: number },
      memoryMiB = RAM_MIB,
    ) => {
      const launched = await launcher.launch(kind, role, { memoryMiB, memoryLimit });
      if (launched.outcome === 'started') running.push(launched.guest);
      return launched;
    };
    const isOutOfReach = (launched: Launch, words: RegExp, checks: readonly string[]) => {
      if (launched.outcome === 'started' || !words.test(launched.refusal.text)) return false;
      for (const id of checks) skipCheck(id, `this host cannot show it: ${launched.refusal.text}`);
      return true;
    };
    await launcher.assertMemoryFor(3 * Math.ceil((RAM_MIB + EXTRA_MIB) / 256));

    await step('locked memory', async () => {
      const launched = await launch('locked', 'locked');
      if (isOutOfReach(launched, MAY_NOT_LOCK, LOCKED_CHECKS)) return;
      check('locked-starts', { expected: 'started', actual: said(launched) });
      if (launched.outcome === 'refused')
        return skipAll(['locked-unlimited', 'locked-size'], 'the guest did not start');
      const memory = await readQemuMemory(host, launched.guest);
      if ('outOfReach' in memory) return skipAll(['locked-unlimited', 'locked-size'], memory.outOfReach);
      check('locked-unlimited', { expected: 'unlimited', actual: inMiB(memory.lockLimitKiB) });
      const { lockedKiB } = memory;
      check('locked-size', {
        expected: `${RAM_MIB} MiB or more`,
        actual: inMiB(lockedKiB),
        passed: lockedKiB >= RAM_MIB * MIB,
      });
    });

    await step('hard limit', async () => {
      const limitMiB = RAM_MIB + EXTRA_MIB;
      const launched = await launch('limited', { hardLimitMiB: limitMiB });
      if (isOutOfReach(launched, NO_LIMITS, LIMIT_CHECKS)) return;
      check('hard-limit-starts', { expected: 'started', actual: said(launched) });
      if (launched.outcome === 'refused')
        return skipAll(['hard-limit-applied', 'hard-limit-size'], 'the guest did not start');
      const memory = await readQemuMemory(host, launched.guest);
      if ('outOfReach' in memory) return skipAll(['hard-limit-applied', 'hard-limit-size'], memory.outOfReach);
      const { hard_limit: toldKiB } = await launched.guest.domain.memoryParameters();
      check('hard-limit-applied', {
        expected: {
          'locked memory': inMiB(limitMiB * MIB),
          cgroup: inMiB(limitMiB * MIB),
          libvirt: inMiB(limitMiB * MIB),
        },
        actual: {
          'locked memory': inMiB(memory.lockLimitKiB),
          cgroup: inMiB(memory.cgroupLimitKiB),
          libvirt: inMiB(Number(toldKiB)),
        },
      });
      if (kind === 'plain') return skipCheck('hard-limit-size', 'the pages of a plain guest are not pinned');
      const { residentKiB } = memory;
      note(
        `QEMU has ${inMiB(residentKiB)} in memory: RAM of ${RAM_MIB} MiB, documented regions of ${inMiB(DOCUMENTED_REGIONS_KIB)}, the rest its own. ` +
          'KVM counts pinned pages for itself: VmPin does not show them.',
      );
      const passed = residentKiB >= RAM_MIB * MIB && residentKiB <= limitMiB * MIB;
      check('hard-limit-size', { expected: `${RAM_MIB} to ${limitMiB} MiB`, actual: inMiB(residentKiB), passed });
    });

    await step('limits that are too small', async () => {
      if (kind === 'plain')
        return skipCheck('small-limits-stop', 'a plain guest pins nothing that could exceed a limit');
      const tries = { 'half of RAM': RAM_MIB / 2, 'RAM and nothing more': RAM_MIB, 'RAM and 16 MiB': RAM_MIB + 16 };
      const verdicts: Record<string, LimitVerdict> = {};
      for (const [name, hardLimitMiB] of Object.entries(tries)) {
        const before = await readOomRecord(host);
        const launched = await launcher.launch(kind, 'small', { memoryMiB: RAM_MIB, memoryLimit: { hardLimitMiB } });
        if (isOutOfReach(launched, NO_LIMITS, ['small-limits-stop'])) return;
        const verdict = await howLimitEnds(host, launched, before);
        const { end, words } = verdict;
        note(`A hard limit of ${name} (${hardLimitMiB} MiB): ${end}. ${words}`);
        evidence.attach(`limit-${hardLimitMiB}-mib.txt`, words);
        verdicts[name] = verdict;
        if (launched.outcome === 'started') await launched.guest.stop();
      }
      // How much QEMU needs for itself is not documented, so that the last one is only reported.
      const judged = Object.entries(verdicts).slice(0, 2);
      const untold = judged.find(([, { end }]) => end === 'cannot be told');
      const isBroken = judged.some(([, { end }]) => end === 'runs' || end === 'ended without a reason');
      if (untold !== undefined && !isBroken) return skipCheck('small-limits-stop', untold[1].words);
      check('small-limits-stop', {
        expected: Object.fromEntries(judged.map(([name]) => [name, 'refused or killed'])),
        actual: Object.fromEntries(judged.map(([name, { end }]) => [name, end])),
        passed: !isBroken,
      });
    });

    await step('witnesses', async () => {
      if (running.length === 0) await launch('witness', 'none');
      const memory = running[0] && (await readQemuMemory(host, running[0]));
      if (memory === undefined) return skipCheck('in-machine-slice', 'no guest runs');
      if ('outOfReach' in memory) return skipCheck('in-machine-slice', memory.outOfReach);
      const limits = await readSliceLimits(host);
      note(`machine.slice: memory.high ${limits['memory.high']}, memory.max ${limits['memory.max']}.`);
      if (memory.cgroup === undefined || !/machine/.test(memory.cgroup)) {
        return skipCheck('in-machine-slice', 'this libvirtd makes no cgroups for its guests');
      }
      const slice = memory.cgroup.split('/')[1] ?? '';
      check('in-machine-slice', { expected: 'machine.slice', actual: slice });
    });

    await step('more memory than the host has', async () => {
      const memoryMiB = await impossibleMemoryMiB(host);
      if (typeof memoryMiB !== 'number') return skipAll(['too-large-refused', 'others-survive'], memoryMiB.because);
      const before = running.length;
      if (before === 0) return skipAll(['too-large-refused', 'others-survive'], 'no guest runs that could suffer');
      const launched = await launch('large', kind === 'plain' ? 'none' : 'locked', memoryMiB);
      if (isOutOfReach(launched, MAY_NOT_LOCK, ['too-large-refused', 'others-survive'])) return;
      check('too-large-refused', {
        expected: 'refused: Cannot allocate memory',
        actual: said(launched),
        passed: launched.outcome === 'refused' && /Cannot allocate memory/.test(launched.refusal.text),
      });
      check('others-survive', { expected: before, actual: await countRunning(running.slice(0, before)) });
    });
    await stopAll(running);

    function skipAll(ids: readonly string[], because: string): void {
      for (const id of ids) skipCheck(id, because);
    }
  },
);

function said(launched: Launch): string {
  return launched.outcome === 'started' ? 'started' : `refused: ${launched.refusal.text}`;
}

function inMiB(kiB: number): string {
  return Number.isFinite(kiB) ? `${Math.round(kiB / MIB)} MiB` : 'unlimited';
}
