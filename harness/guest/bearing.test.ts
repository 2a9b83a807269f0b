import { describe, expect, it } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { startEmulatedHost } from '../fakelibvirt/index.ts';
import { readSevFacts } from '../host/facts.ts';
import { openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { resetAndWait } from './bearing.ts';
import { currentOwner } from './ownership.ts';
import { GuestLauncher } from './running.ts';
import type { GuestKind } from './spec.ts';

/** On a host that takes its time, as QEMU answers a reset before it does it. */
async function resetGuest(kind: GuestKind) {
  await using emulated = await startEmulatedHost({ profile: 'naples-es', delays: 'realistic' });
  await using host = await openHost(parseHostName(emulated.uri));
  const facts = await readSevFacts(host);
  const { signal } = new AbortController();
  const settings = { owner: currentOwner('r') };
  const launcher = new GuestLauncher({ host, facts, settings, signal, cleanup: new CleanupStack(), nowMs: () => 0 });
  const guest = await launcher.launchOrFail(kind, 'reset');
  return { isBooted: await resetAndWait(host.connection, guest.domain), state: await guest.currentState() };
}

describe('a reset', () => {
  it('is waited for until the guest booted again', async () => {
    expect(await resetGuest('sev')).toEqual({ isBooted: true, state: 'running' });
  });

  it('is waited for until the guest ended, and no longer, when it cannot be reset', { timeout: 5000 }, async () => {
    expect(await resetGuest('sev-es')).toEqual({ isBooted: false, state: 'gone' });
  });
});
