import { describe, expect, test } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { type EmulatedHostOptions, startEmulatedHost } from '../fakelibvirt/index.ts';
import { readSevFacts } from '../host/facts.ts';
import { openHost } from '../host/host.ts';
import { judgeDefects } from '../host/known-defects/judge.ts';
import { readForDefects } from '../host/known-defects/readings.ts';
import { readClaims } from './attested.ts';
import { runDefectTests } from './defect-tests.ts';
import { createRunId, currentOwner } from './ownership.ts';
import { readPlatform } from './platform.ts';
import { GuestLauncher } from './running.ts';

/** Verdict and reason of each defect on this emulated host. */
async function judged(options: EmulatedHostOptions) {
  await using emulated = await startEmulatedHost(options);
  await using host = await openHost({ kind: 'libvirt', text: emulated.uri });
  const facts = await readSevFacts(host);
  const cleanup = new CleanupStack();
  const settings = { owner: currentOwner(createRunId(Date.now(), 'defec7')) };
  const signal = new AbortController().signal;
  const launcher = new GuestLauncher({ host, facts, settings, cleanup, signal, nowMs: () => 0 });
  try {
    const guest = await launcher.launchOrFail('sev', 'version', { isPaused: true });
    const { policy: _, ...firmware } = (await readClaims(guest)).context;
    const platform = await readPlatform(host, facts);
    const tests = await runDefectTests({ host, facts, platform, launcher, firmware });
    const { apiMajor, apiMinor, buildId: build } = firmware;
    const readings = await readForDefects(host, facts, { firmware: { apiMajor, apiMinor, build }, tests });
    return new Map(judgeDefects(readings).map(({ defect, verdict, because }) => [defect.id, { verdict, because }]));
  } finally {
    expect(await cleanup.run()).toEqual([]);
  }
}

describe('SEV-ES beside SEV-SNP (CVE-2025-48514)', () => {
  test.each([
    ['refused', { verdict: 'fixed', because: 'SEV-ES beside SEV-SNP: UNSUPPORTED (21)' }],
    ['taken', { verdict: 'vulnerable', because: 'SEV-ES beside SEV-SNP: SUCCESS' }],
  ] as const)('%s by the firmware is what the test finds', async (esBesideSnp, verdict) => {
    expect((await judged({ profile: 'milan', esBesideSnp })).get('es-beside-snp')).toEqual(verdict);
  });

  test('is not tried where SEV-SNP is off', async () => {
    expect((await judged({ profile: 'milan' })).get('es-beside-snp')).toMatchObject({ verdict: 'not affected' });
  });

  test('is not judged where the host has no SEV-ES to try', async () => {
    const { verdict, because } = (await judged({ profile: 'genoa', esBesideSnp: 'taken' })).get('es-beside-snp') ?? {};
    expect(verdict).toBe('unknown');
    expect(because).toMatch(/^SEV-ES is off on this host; /);
  });
});
