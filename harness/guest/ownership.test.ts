import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { createRunId, currentOwner, guestName, isOurName, ownerState, runIdOfName } from './ownership.ts';

describe('ownership', () => {
  it('makes run ids that sort by time and are safe in domain names', () => {
    const ids = [createRunId(1_800_000_000_000, 'abcdef'), createRunId(1_800_000_000_001, '000000')];
    expect([...ids].sort()).toEqual(ids);
    for (const id of ids) expect(guestName(id, 'fill-1')).toMatch(/^sevh-[0-9a-z]+-fill-1$/);
  });

  it('tells our names from others, and one run from another', () => {
    expect(isOurName('sevh-abc-fill-1')).toBe(true);
    expect(isOurName('sevh-abc-fill-1', 'abc')).toBe(true);
    expect(isOurName('sevh-abc-fill-1', 'ab')).toBe(false);
    expect(isOurName('customer-db')).toBe(false);
    expect(['sevh-abc-fill-1', 'sevh-abc', 'sevh-', 'my-sevh-abc-x'].map(runIdOfName)).toEqual([
      'abc',
      ...[undefined, undefined, undefined],
    ]);
  });

  it('sees that this process is alive', () => {
    expect(ownerState(currentOwner('r'))).toBe('alive');
  });

  it('takes a process that ended, or whose pid another has now, for dead', async () => {
    const child = spawn('true');
    await once(child, 'exit');
    const owner = currentOwner('r');
    expect(ownerState({ ...owner, pid: child.pid ?? 0, startTicks: '1' })).toBe('dead');
    expect(ownerState({ ...owner, startTicks: '1' })).toBe('dead');
  });

  it('does not judge a process of another machine, or of another container with the same name', () => {
    expect(ownerState({ ...currentOwner('r'), place: 'another boot' })).toBe('elsewhere');
  });
});
