import { harnessError } from '../errors.ts';
import type { ScenarioContext } from '../fixtures/scenario.ts';
import { capabilitiesOf } from '../host/needs.ts';

/**
 * The guest of a scenario that runs on any host: encrypted where the host can, and plain with a note in the report
 * where it cannot. Under `--require sev` it throws `SCENARIO_NEED_UNMET` instead.
 */
export function usualKind({ facts, settings, note }: ScenarioContext): 'sev' | 'plain' {
  const { met, because } = capabilitiesOf(facts).sev;
  if (met) return 'sev';
  if (settings.required.includes('sev')) {
    throw harnessError('SCENARIO_NEED_UNMET', `${settings.host} does not offer what --require names: sev: ${because}`, {
      hint: 'Run on a host that has it, or take the need out of --require.',
    });
  }
  note(`Control half only, with plain guests: ${because}.`);
  return 'plain';
}
