import type { JsonValue } from '../../core/errors.ts';
import type { Check } from '../result.ts';

/** How a row that could run came out. */
export type Decision =
  | { readonly outcome: 'passed'; readonly actual?: JsonValue }
  | {
      readonly outcome: 'failed';
      readonly because: string;
      readonly expected?: JsonValue;
      readonly actual?: JsonValue;
      readonly hint?: string;
    }
  | { readonly outcome: 'incomplete'; readonly because: string; readonly hint: string }
  /** Does not apply. */
  | { readonly outcome: 'skipped'; readonly because: string };

export interface Row<Id extends string> {
  readonly id: Id;
  readonly title: string;
  readonly spec: string;
  /** Rows that must have passed, or this one cannot be decided at all. */
  readonly requires?: readonly Id[];
  /** Rows that must not have failed. One that is incomplete is no obstacle: what is there is still checked. */
  readonly reliesOn?: readonly Id[];
}

/** Rows in order. A failed row skips its dependents, and theirs; an incomplete row skips only what requires it. */
export interface Ledger<Id extends string> {
  add(row: Row<Id>, decide: () => Decision): void;
  /** Takes over rows that were decided before. */
  adopt(other: LedgerSnapshot): void;
  snapshot(): LedgerSnapshot;
}

export interface LedgerSnapshot {
  readonly checks: readonly Check[];
  /** Rows that failed or were skipped because another one failed. */
  readonly broken: ReadonlySet<string>;
}

export const passed: Decision = { outcome: 'passed' };

export function failed(because: string, extras: { expected?: JsonValue; actual?: JsonValue; hint?: string } = {}) {
  return { outcome: 'failed', because, ...extras } as const satisfies Decision;
}

export function ledger<Id extends string>(): Ledger<Id> {
  const checks: Check[] = [];
  const broken = new Set<string>();
  const outcomeOf = (id: string) => checks.find((check) => check.id === id)?.outcome;

  return {
    add: ({ id, title, spec, requires = [], reliesOn = [] }, decide) => {
      const obstacle =
        [...requires, ...reliesOn].find((other) => broken.has(other)) ??
        requires.find((other) => outcomeOf(other) !== 'passed');
      if (obstacle === undefined) {
        const decision = decide();
        checks.push({ id, title, spec, ...decision });
        if (decision.outcome === 'failed') broken.add(id);
        return;
      }
      if (broken.has(obstacle)) broken.add(id);
      checks.push({ id, title, spec, outcome: 'skipped', because: `${obstacle} is ${outcomeOf(obstacle)}` });
    },
    adopt: (other) => {
      checks.push(...other.checks);
      for (const id of other.broken) broken.add(id);
    },
    snapshot: () => ({ checks: [...checks], broken: new Set(broken) }),
  };
}
