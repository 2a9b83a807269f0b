export type { DiffItem, DiffState, DurationChange, FactChange, RunDiff } from './compare.ts';
export { diffRuns } from './compare.ts';
export { formatDiff } from './format.ts';
