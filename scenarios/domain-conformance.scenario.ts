import {
  enforcedMutants,
  GuestLauncher,
  lintDomain,
  type Mutant,
  mutantXml,
  type ScenarioContext,
  scenario,
  sentenceOf,
  type Trial,
  tryDomain,
} from '../harness/test.ts';

const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
const ARTICLE = 'libvirt article "Launch security with AMD SEV"';

scenario(
  {
    id: 'domain-conformance',
    title: 'The host refuses what the linter calls an error, wherever hosts enforce the rule at all, and says why',
    source: [
      `${NOVA}: "cbitpos and reducedPhysBits are dependent on the processor family"`,
      `${ARTICLE}: "specifying launchSecurity isn't enough to boot an SEV VM"`,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      'our-guest-is-conformant': { title: 'the linter has nothing against the guest that we build', source: NOVA },
      'our-guest-starts': { title: 'the host starts it' },
      ...Object.fromEntries(
        enforcedMutants.map((mutant) => [mutant.id, { title: mutant.title, source: sentenceOf(mutant) }]),
      ),
      'linter-agrees': { title: 'the linter calls each of these mutants an error, by its rule' },
      'refusals-are-explained': { title: 'each refusal is diagnosed as what was changed' },
      'refused-guests-left-nothing': { title: 'of a refused guest nothing is left' },
    },
  },
  async (context) => {
    const { host, facts, step, check, skipCheck, evidence } = context;
    const launcher = new GuestLauncher(context);
    const lint = (xml: string, profile: Mutant['profile']) =>
      lintDomain(xml, { profile, ...(facts.domainCapabilities && { host: facts.domainCapabilities }) })
        .findings.filter(({ severity }) => severity === 'error')
        .map(({ rule }) => rule);

    const ours = launcher.define('sev', 'conformant');
    check('our-guest-is-conformant', {
      expected: { train: [], modern: [] },
      actual: { train: lint(ours.xml, 'train'), modern: lint(ours.xml, 'modern') },
    });
    const started = await step('start the guest that we build', () => tryDomain(host.connection, ours.name, ours.xml));
    check('our-guest-starts', { expected: 'started', actual: started.outcome, because: started.text });

    const rows: Row[] = [];
    for (const mutant of enforcedMutants) {
      const because = mutant.isOutOfReach?.(facts);
      const { name, xml } = launcher.define('sev', mutant.id);
      const changed = mutantXml(xml, mutant);
      if (because !== undefined || changed === undefined) {
        skipCheck(mutant.id, because ?? 'our guest has nothing to change there');
        continue;
      }
      const trial = await step(mutant.title, () => tryDomain(host.connection, name, changed));
      const expected = `refused at ${mutant.refusedAt}`;
      check(mutant.id, { expected, actual: trial.outcome, because: trial.text || 'the host started it' });
      rows.push({ mutant, trial, found: lint(changed, mutant.profile) });
    }
    compare(context, rows);
    evidence.attach('verdicts.txt', rows.map(line).join('\n'));
  },
);

interface Row {
  readonly mutant: Mutant;
  readonly trial: Trial;
  /** Errors that the linter reports. */
  readonly found: readonly string[];
}

function compare({ check }: ScenarioContext, rows: readonly Row[]): void {
  check('linter-agrees', {
    expected: Object.fromEntries(rows.map(({ mutant }) => [mutant.id, [mutant.rule]])),
    actual: Object.fromEntries(rows.map(({ mutant, found }) => [mutant.id, found])),
  });
  const refused = rows.filter(({ trial }) => trial.outcome !== 'started');
  const unexplained = refused.filter(({ mutant, trial }) => !mutant.diagnoses.includes(trial.diagnosis));
  check('refusals-are-explained', {
    expected: [],
    actual: unexplained.map(({ mutant, trial }) => `${mutant.id}: ${trial.diagnosis}`),
    because: unexplained.map(({ trial }) => trial.text).join('; '),
  });
  check('refused-guests-left-nothing', {
    expected: [],
    actual: refused.filter(({ trial }) => trial.isLeft).map(({ mutant }) => mutant.id),
  });
}

function line({ mutant, trial, found }: Row): string {
  return `${mutant.id}: linter ${found.join(', ')}; host ${trial.outcome}; ${trial.diagnosis}; ${trial.text.trim()}`;
}
