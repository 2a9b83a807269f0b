import { expect, it, vi } from 'vitest';
import { startEmulatedHost } from '../fakelibvirt/index.ts';
import { askForEs } from './es-refusal.ts';
import { readSevFacts } from './facts.ts';
import { type Host, openHost } from './host.ts';
import { parseHostName } from './name.ts';
import { preflight } from './preflight/index.ts';

/** Bare launches that were asked of the host until now. */
function launchesOf(host: Host): () => number {
  const calls = vi.spyOn(host.connection, 'callEmulator');
  const isLaunch = ([, input]: readonly unknown[]) => Object(input).name === 'bare-launch';
  return () => calls.mock.calls.filter(isLaunch).length;
}

it.each(['refused', 'taken'] as const)('only who has the host asks the firmware, by a launch: %s', async (answer) => {
  await using emulated = await startEmulatedHost({ profile: 'milan', faults: [], esBesideSnp: answer });
  await using host = await openHost(parseHostName(emulated.uri));
  const launches = launchesOf(host);
  const facts = await readSevFacts(host);
  await preflight(host);
  expect([facts.esRefusal, launches()]).toEqual([undefined, 0]);
  const asked = await askForEs(host, facts);
  expect([asked.esRefusal, launches()]).toEqual([answer === 'refused' ? 'UNSUPPORTED (21)' : undefined, 1]);
});

it('nothing is asked where SEV-ES or SEV-SNP is off, and why it could not be asked is kept', async () => {
  await using host = await openHost({ kind: 'emulated', text: 'fake:milan', profile: 'milan' });
  const launches = launchesOf(host);
  const facts = await readSevFacts(host);
  for (const kvmParameters of [{ sevEs: true }, { sevSnp: true }, {}])
    expect(await askForEs(host, { ...facts, kvmParameters })).toEqual({ ...facts, kvmParameters });
  expect(launches()).toBe(0);
  const both = { ...facts, kvmParameters: { sevEs: true, sevSnp: true } };
  const shell = { ...host.shell, where: 'local', run: async () => ({ outcome: 'absent' }) as const } as const;
  expect((await askForEs({ ...host, shell }, both)).unknown.esRefusal).toBe(
    'KVM cannot be asked directly: the host has no python3',
  );
});
