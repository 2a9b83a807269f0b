export { diffRuns } from './compare.ts';
export { formatDiff } from './format.ts';
