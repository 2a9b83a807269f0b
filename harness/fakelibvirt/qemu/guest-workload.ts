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

/** What the modelled numbers of one guest depend on. */
export interface WorkloadPace {
  readonly isEncrypted: boolean;
  /** Samples scatter by up to one percent around the model, the same way in every guest with this seed. */
  readonly seed: string;
  /** How many times slower than its model the guest is: 1, except through a fault. */
  readonly slowdown: () => number;
}

/** What the agent prints of its workloads, with numbers that are modelled: nothing runs and nothing is measured. */
export class ModelWorkloads {
  readonly #pace: WorkloadPace;
  #samples = 0;

  constructor(pace: WorkloadPace) {
    this.#pace = pace;
  }

  run(name: string, rounds: number = DEFAULT_ROUNDS) {
    const model = Object.hasOwn(MODELS, name) ? MODELS[name] : undefined;
    if (model === undefined || !(rounds >= 1 && rounds <= MAX_ROUNDS)) {
      const because = model === undefined ? 'no such workload' : 'between 1 and 100 rounds are possible';
      return { event: 'workload-failed', name, because } as const;
    }
    const samples = Array.from({ length: rounds }, () => this.#sample(name, model));
    return { event: 'workload', name, unit: model.unit, samples } as const;
  }

  #sample(name: string, { unit, plain, cost }: Model): number {
    const { isEncrypted, seed, slowdown } = this.#pace;
    const times = slowdown() / (isEncrypted ? 1 - cost : 1);
    const level = unit === 'ns' ? plain * times : plain / times;
    const digest = createHash('sha256')
      .update(`${seed} ${name} ${this.#samples++}`)
      .digest();
    const scatter = digest.readUInt32LE(0) / 2 ** 32;
    return Math.round(level * (1 + NOISE * (2 * scatter - 1)) * 1000) / 1000;
  }
}
