import { harnessError } from '../errors.ts';
import { faultCatalogue, isFaultId } from '../fakelibvirt/index.ts';

/** Refuses `--fault` of a name that is not in the catalogue, with those that share a word with it. Throws `CLI_USAGE`. */
export function assertKnownFaults(ids: readonly string[]): void {
  const unknown = ids.find((id) => !isFaultId(id));
  if (unknown === undefined) return;
  const words = unknown.toLowerCase().split(/[^a-z]+/);
  const all = faultCatalogue.map((fault) => fault.id);
  const near = all.filter((id) => id.split('-').some((word) => words.includes(word)));
  throw harnessError('CLI_USAGE', `--fault: unknown fault '${unknown}'`, {
    hint: near.length > 0 ? `Alike: ${near.join(', ')}.` : `Faults: ${all.join(', ')}.`,
  });
}
