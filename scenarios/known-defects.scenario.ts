import {
  countLookedAt,
  countMeans,
  countVerdicts,
  formatDefects,
  GuestLauncher,
  judgeDefects,
  readClaims,
  readForDefects,
  readPlatform,
  runDefectTests,
  scenario,
  undecided,
  unjudged,
  untested,
  vulnerableTo,
} from '../harness/test.ts';

const SNP = 'AMD product security bulletins and the papers that they answer, as listed in docs/known-defects.md';

scenario(
  {
    id: 'known-defects',
    title: 'No public defect of SEV that has a fix is seen on this host, by test or by version, and none is left out',
    source: [
      'nova specification "libvirt driver launching AMD SEV-encrypted instances": "doesn’t permit other guests or the hypervisor to directly inspect memory"',
      SNP,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      'active-tests': {
        title:
          'the firmware refuses what public attacks rely on: points of other curves, debugging under NODBG, SEV-ES beside SEV-SNP',
        source: 'CVE-2019-9836, CVE-2025-48514; SEV API specification, section 7.1 DBG_DECRYPT',
      },
      'version-floors': {
        title: 'firmware and microcode are not older than the fix of any defect whose fix has a number',
        source: SNP,
      },
      'every-defect-judged': {
        title: 'every defect of the list has a verdict, and what a verdict needs could be read',
        source: SNP,
      },
    },
  },
  async (context) => {
    const { host, facts, machine, step, check, note, evidence } = context;
    const launcher = new GuestLauncher(context);
    const platform = await readPlatform(host, facts);
    const firmware = await step('ask for the version of the firmware', async () => {
      const guest = await launcher.launchOrFail('sev', 'version', { isPaused: true });
      const { policy: _, ...version } = (await readClaims(guest)).context;
      await guest.stop();
      return version;
    });
    const tests = await step('try what public attacks rely on', () =>
      runDefectTests({ host, facts, platform, launcher, firmware }),
    );
    const { apiMajor, apiMinor, buildId: build } = firmware;
    const readings = await readForDefects(host, facts, { firmware: { apiMajor, apiMinor, build }, tests });
    const judged = judgeDefects(readings);
    evidence.attach('known-defects.txt', formatDefects(machine, readings, judged));
    note(countVerdicts(judged));
    for (const text of untested(judged)) note(text);
    // An empty list alone would not show whether anything was looked at.
    const vulnerableBy = (...by: readonly ('test' | 'version' | 'platform bit')[]) => {
      const vulnerable = vulnerableTo(judged, ...by);
      const actual = { vulnerable, of: countLookedAt(judged, ...by) };
      return { expected: { vulnerable: [] }, actual, passed: vulnerable.length === 0 };
    };
    check('active-tests', vulnerableBy('test'));
    check('version-floors', vulnerableBy('version', 'platform bit'));
    const open = unjudged(judged);
    const actual = { unjudged: open, of: countMeans(judged) };
    const leavesOpen = undecided(judged, 'known-defects.txt');
    check('every-defect-judged', {
      expected: { unjudged: [] },
      actual,
      passed: open.length === 0,
      ...(leavesOpen === undefined ? {} : { leavesOpen }),
    });
  },
);
