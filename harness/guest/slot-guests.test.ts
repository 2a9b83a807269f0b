import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { currentOwner } from './ownership.ts';
import { GuestLauncher } from './running.ts';
import { countPlainGuests, fillSlots, launchTogether } from './slot-guests.ts';

let host: Host;
let launcher: GuestLauncher;
const settings = { owner: currentOwner('r') };
beforeEach(async () => {
  host = await openHost(parseHostName('fake:naples'));
  const facts = await readSevFacts(host);
  const { signal } = new AbortController();
  launcher = new GuestLauncher({ host, facts, settings, signal, cleanup: new CleanupStack(), nowMs: () => 0 });
});
afterEach(() => host.close());

describe('guests that race for the last slots', () => {
  it('are started several at a time, yet fewer than libvirt takes of a client before it stops reading', async () => {
    let underWay = 0;
    const seen: number[] = [];
    const { createDomain } = host.connection;
    vi.spyOn(host.connection, 'createDomain').mockImplementation(async (...args) => {
      seen.push(++underWay);
      try {
        return await createDomain.apply(host.connection, args);
      } finally {
        underWay--;
      }
    });
    await fillSlots(launcher, 'sev', 13);
    seen.length = 0;
    const launches = await launchTogether(launcher, 'sev', 'race', 10);
    expect(launches.filter(({ outcome }) => outcome === 'started')).toHaveLength(2);
    expect(seen.slice(0, 4)).toEqual([1, 2, 3, 4]);
    expect(Math.max(...seen)).toBe(4);
  });
});

describe('plain guests that are counted', () => {
  const count = () => countPlainGuests({ host, settings }, launcher, 3, (guest) => guest.stop());

  it('are as many as run after each thing that was done', async () => {
    const { expected, actual, ...more } = await count();
    expect(actual).toEqual(expected);
    expect(Object.keys(expected)).toEqual(['starts', 'a stop', 'a kill', 'a failed launch', 'all were stopped']);
    expect(more).toEqual({});
  });

  it('leave a kill open that is out of reach, with the reason', async () => {
    vi.spyOn(host.shell, 'kill').mockResolvedValue({ outOfReach: 'run as root' });
    const { expected, actual, leavesOpen } = await count();
    expect(actual).toEqual(expected);
    expect(expected).not.toHaveProperty('a kill');
    expect(leavesOpen).toBe('how many guests are listed after a kill: run as root');
  });
});
