import { createHash } from 'node:crypto';

interface Model {
  readonly unit: 'MiB/s' | 'ns';
  /** What a guest without encryption is said to reach. */
  readonly plain: number;
  /** What encryption costs, as a share: within the 1 to 6 percent that the seed article names. */
  readonly cost: number;
}

const MODELS: Readonly<Record<string, Model>> = {
  'memory-bandwidth': { unit: 'MiB/s', plain: 11_000, cost: 0.03 },
  'memory-latency': { unit: 'ns', plain: 95, cost: 0.02 },
  'disk-read': { unit: 'MiB/s', plain: 900, cost: 0.05 },
};
const NOISE = 0.01;
const MAX_ROUNDS = 100;
const DEFAULT_ROUNDS = 5;

/**
 * What the agent prints of its workloads, with numbers that are modelled: nothing runs and nothing is measured.
 *
 * Samples scatter by up to one percent around the model, the same way in every guest with this seed.
 */
export function modelWorkload(name: string, rounds: number | undefined, guest: { isEncrypted: boolean; seed: string }) {
  const model = Object.hasOwn(MODELS, name) ? MODELS[name] : undefined;
  const count = rounds ?? DEFAULT_ROUNDS;
  if (model === undefined || !(count >= 1 && count <= MAX_ROUNDS)) {
    const because = model === undefined ? 'no such workload' : 'between 1 and 100 rounds are possible';
    return { event: 'workload-failed', name, because } as const;
  }
  const { unit, plain, cost } = model;
  const share = guest.isEncrypted ? cost : 0;
  const level = unit === 'ns' ? plain / (1 - share) : plain * (1 - share);
  const samples = Array.from({ length: count }, (_, index) => {
    const scatter = createHash('sha256').update(`${guest.seed} ${name} ${index}`).digest().readUInt32LE(0) / 2 ** 32;
    return Math.round(level * (1 + NOISE * (2 * scatter - 1)) * 1000) / 1000;
  });
  return { event: 'workload', name, unit, samples } as const;
}
