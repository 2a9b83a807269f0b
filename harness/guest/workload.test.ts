import { describe, expect, it } from 'vitest';
import { GuestConsole } from './console/follow.ts';
import {
  judgeEqual,
  judgeSlower,
  measureInterleaved,
  type Slowdown,
  slowdownOf,
  slowdownText,
  type WorkloadRound,
} from './workload.ts';

/** A guest whose answers are given, one for each line that is typed. */
function answering(answers: readonly string[], typed: string[], name: string): Promise<GuestConsole> {
  const queue: Uint8Array[] = [];
  let wake = () => {};
  let isOpen = true;
  const source = {
    async write(line: string) {
      typed.push(`${name}: ${line.trim()}`);
      queue.push(Buffer.from(`SEVH ${answers[typed.filter((one) => one.startsWith(name)).length - 1]}\n`));
      wake();
    },
    async close() {
      isOpen = false;
      wake();
    },
    async *[Symbol.asyncIterator]() {
      while (isOpen) {
        const next = queue.shift();
        if (next !== undefined) yield next;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    },
  };
  return GuestConsole.follow({ name, domain: { openConsole: async () => source } });
}

const sample = (unit: string, value: number) =>
  JSON.stringify({ event: 'workload', name: 'memory-latency', unit, samples: [value] });
const WAIT = { timeoutMs: 5000 };

describe('measureInterleaved', () => {
  it('asks one guest after the other, none twice in a row', async () => {
    const typed: string[] = [];
    await using a = await answering(
      [90, 91, 92].map((ns) => sample('ns', ns)),
      typed,
      'a',
    );
    await using b = await answering(
      [95, 96, 97].map((ns) => sample('ns', ns)),
      typed,
      'b',
    );
    const rounds = await measureInterleaved([{ console: a }, { console: b }], 'memory-latency', { rounds: 3, ...WAIT });
    expect(typed.map((line) => line[0]).join('')).toBe('ababab');
    expect(typed[0]).toBe('a: workload memory-latency 1');
    expect(rounds.map(({ times }) => times)).toEqual([
      [90, 95],
      [91, 96],
      [92, 97],
    ]);
  });

  it('takes the time of a bandwidth: half as fast is twice as long', async () => {
    await using a = await answering([sample('MiB/s', 1000)], [], 'a');
    await using b = await answering([sample('MiB/s', 500)], [], 'b');
    const [round] = await measureInterleaved([{ console: a }, { console: b }], 'disk-read', { rounds: 1, ...WAIT });
    expect((round?.times[1] ?? 0) / (round?.times[0] ?? 0)).toBe(2);
  });

  it('counts the processor time of the host where it is told, for so many samples that the host can tell it', async () => {
    const typed: string[] = [];
    /** Takes so much processor time for a sample, and twice as much again the first time. */
    const working = async (name: string, sampleNs: number) => {
      const console = await answering(Array(9).fill(sample('ns', 1)), typed, name);
      let spentNs = 2 * sampleNs;
      const ask: GuestConsole['ask'] = async (line, events, wait) => {
        spentNs += (Number(line.split(' ').at(-1)) + 1) * sampleNs;
        return console.ask(line, events, wait);
      };
      return { console: { ask }, processorTimeNs: async () => BigInt(spentNs), close: () => console.close() };
    };
    const guests = [await working('a', 40e6), await working('b', 44e6)];
    const rounds = await measureInterleaved(guests, 'memory-latency', { rounds: 2, ...WAIT });
    for (const guest of guests) await guest.close();
    const turn = 'workload memory-latency 9';
    expect(typed.slice(2)).toEqual([`a: ${turn}`, `b: ${turn}`, `a: ${turn}`, `b: ${turn}`]);
    expect(rounds.map(({ times }) => times)).toEqual(Array(2).fill([400e6, 440e6]));
  });

  it('takes as many samples as the agent can where the host cannot tell one', async () => {
    const typed: string[] = [];
    const console = await answering(Array(9).fill(sample('ns', 1)), typed, 'a');
    await measureInterleaved([{ console, processorTimeNs: async () => 0n }], 'disk-read', { rounds: 1, ...WAIT });
    await console.close();
    expect(typed).toEqual(['a: workload disk-read 3', 'a: workload disk-read 100']);
  });

  it('says which workload a guest could not run, and why', async () => {
    const failed = JSON.stringify({ event: 'workload-failed', name: 'disk-read', because: '/dev/vda: no such file' });
    await using a = await answering([failed], [], 'a');
    await expect(measureInterleaved([{ console: a }], 'disk-read', { rounds: 1, ...WAIT })).rejects.toMatchObject({
      code: 'GUEST_WORKLOAD_FAILED',
      message: 'a guest could not run disk-read: /dev/vda: no such file',
    });
  });
});

const around = (ratio: number, spread: number): WorkloadRound[][] =>
  [-2, -1, 0, 1, 2, 1, -1, 0].map((step) => [{ times: [1, ratio * (1 + step * spread)] }]);
const measured = (ratio: number, spread = 0.001): Slowdown => slowdownOf(around(ratio, spread), 1, 0);
const BOUND = { claimed: 1.06, noticed: 1.12 };

describe('the verdict', () => {
  it.each([
    [1.03, 0.001, 'within', 'beyond'],
    [1.005, 0.001, 'within', 'beyond'],
    [0.995, 0.001, 'within', 'beyond'],
    [1.005, 0.01, 'within', 'within'],
    [0.9, 0.001, 'within', 'beyond'],
    [1.08, 0.001, 'beyond', 'beyond'],
    [1.03, 0.2, 'unclear', 'unclear'],
    [1, 0.001, 'within', 'within'],
  ])('on a slowdown of %d with a spread of %d is %s, and as a difference %s', (ratio, spread, slower, equal) => {
    expect(judgeSlower(measured(ratio, spread), BOUND)).toBe(slower);
    expect(judgeEqual(measured(ratio, spread), BOUND)).toBe(equal);
  });

  it('grows no surer by more rounds in the same guests', () => {
    const batches = around(1.03, 0.01);
    const longer = batches.map((rounds) => Array.from({ length: 50 }, () => rounds).flat());
    const [few, many] = [slowdownOf(batches, 1, 0), slowdownOf(longer, 1, 0)];
    for (const end of ['low', 'high'] as const) expect(many.sure[end]).toBeCloseTo(few.sure[end], 12);
  });

  it('is taken from a wider interval than the one that people see', () => {
    const { sure, usual } = measured(1.03, 0.01);
    expect(sure.low).toBeLessThan(usual.low);
    expect(sure.high).toBeGreaterThan(usual.high);
  });
});

it('a slowdown is told in percent, with its sign', () => {
  expect(slowdownText(measured(1.03, 0))).toBe('+3.0 % (95 %: +3.0 to +3.0 %, 99.7 %: +3.0 to +3.0 %)');
  expect(slowdownText(measured(0.95, 0))).toBe('-5.0 % (95 %: -5.0 to -5.0 %, 99.7 %: -5.0 to -5.0 %)');
});
