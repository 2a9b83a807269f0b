import { describe, expect, it } from 'vitest';
import { type FaultId, type ProfileName, profiles } from '../../fakelibvirt/index.ts';
import { openHost } from '../host.ts';
import type { PreflightReport } from './evaluate.ts';
import { preflight, preflightSummary } from './index.ts';
import type { PreflightOutcome, WrongWay } from './row.ts';

async function preflightOf(profile: ProfileName, faults: readonly FaultId[] = []): Promise<PreflightReport> {
  await using host = await openHost({ kind: 'emulated', text: `fake:${profile}`, profile }, { faults });
  return await preflight(host);
}

function ids({ rows }: PreflightReport, outcome: PreflightOutcome): string[] {
  return rows.filter((row) => row.outcome === outcome).map(({ id }) => id);
}

interface Expected {
  readonly way?: WrongWay;
  readonly fail?: readonly string[];
  readonly warn?: readonly string[];
  readonly unknown?: readonly string[];
}

const NO_ES = ['cpu.sev-es-asids', 'kernel.sev-es-parameter'];
const BOTH = 'sev.conditions';
/** As on a host where nobody limited it: the article asks for a limit. */
const UNLIMITED = 'host.machine-slice';

const EXPECTED: Readonly<Record<ProfileName, Expected>> = {
  naples: { warn: NO_ES },
  'naples-es': {},
  rome: { warn: NO_ES },
  milan: {},
  genoa: { warn: [...NO_ES, 'kernel.sev-snp-parameter'] },
  turin: { warn: [...NO_ES, 'kernel.sev-snp-parameter'] },
  'no-sev': {
    way: 'no-cpu-support',
    fail: ['cpu.sev', BOTH],
    warn: ['cpu.generation', 'libvirt.host-validate'],
    unknown: ['bios.tsme'],
  },
  'sev-off-in-bios': {
    way: 'bios',
    fail: ['bios.memory-encryption', BOTH],
    warn: ['cpu.sev-es-asids', 'libvirt.host-validate'],
  },
  'sev-off-in-kernel': {
    way: 'kernel-parameter',
    fail: ['kernel.sev-parameter', BOTH],
    warn: ['cpu.sev-es-asids', 'kernel.command-line', 'libvirt.host-validate'],
  },
  'stale-capabilities': {
    way: 'stale-capabilities',
    fail: ['libvirt.sev', BOTH],
    warn: NO_ES,
    unknown: ['firmware.state'],
  },
};

describe('every profile of the emulated host has exactly its failures, warnings and unknowns', () => {
  it.each(Object.keys(profiles) as ProfileName[])('%s', async (profile) => {
    const { way, fail = [], warn = [], unknown = [] } = EXPECTED[profile];
    const report = await preflightOf(profile);
    expect({
      fail: ids(report, 'fail'),
      warn: ids(report, 'warn').toSorted(),
      unknown: ids(report, 'unknown'),
    }).toEqual({ fail, warn: [...warn, UNLIMITED].toSorted(), unknown });
    expect(report.diagnoses[0]?.way).toBe(way);
    const outcomes = new Map(report.rows.map((row) => [row.id, row.outcome]));
    for (const { id, parent = '', outcome, because, hint } of report.rows) {
      if (['fail', 'skip'].includes(outcomes.get(parent) ?? '')) expect([id, outcome]).toEqual([id, 'skip']);
      if (outcome === 'fail') expect([id, because, hint]).toEqual([id, expect.any(String), expect.any(String)]);
    }
    expect(report.verdict).toBe(way === undefined ? 'usable' : 'unusable');
  });
});

describe('on an emulated host', () => {
  it('SEV-SNP does not apply to a generation without it', async () => {
    expect(ids(await preflightOf('rome'), 'n/a')).toEqual(
      expect.arrayContaining(['cpu.sev-snp', 'cpu.vmpl', 'kernel.sev-snp-parameter']),
    );
  });

  it('the words of ccp and kvm_amd are kept as evidence', async () => {
    expect((await preflightOf('naples')).kernelLog).toEqual([
      'ccp 0000:02:00.2: sev enabled',
      'ccp 0000:02:00.2: SEV API:0.17 build:48',
      'kvm_amd: SEV supported: 15 ASIDs',
    ]);
  });

  it('its firmware tells API, build and state itself', async () => {
    const row = (id: string, { rows }: PreflightReport) => rows.find((one) => one.id === id)?.found;
    const report = await preflightOf('milan');
    expect(row('firmware.version', report)).toMatch(/^1\.\d+ build \d+$/);
    expect(row('firmware.state', report)).toBe('INIT, 0 guests, self-owned, SEV-ES on');
    expect(row('firmware.state', await preflightOf('naples'))).toBe('INIT, 0 guests, self-owned, SEV-ES off');
  });

  it('a number of guests that libvirt advertises wrongly is seen', async () => {
    const report = await preflightOf('naples', ['advertised-limit-wrong']);
    expect(report.rows.find(({ id }) => id === 'libvirt.guests')).toMatchObject({
      outcome: 'warn',
      found: 'domcapabilities 16, nodesevinfo 16, CPUID 15, misc.capacity 15',
    });
  });

  it('the summary of a run names the verdict, what is wrong and what could not be told', async () => {
    const profile = 'stale-capabilities';
    await using host = await openHost({ kind: 'emulated', text: `fake:${profile}`, profile });
    const summary = await preflightSummary(host);
    expect(summary.verdict).toBe('unusable');
    expect(summary.facts.preflight).toMatch(/^unusable for SEV: \d+ passed, 2 failed, 3 warned, 1 unknown$/);
    expect(summary.facts['kernel log']).toContain('ccp 0000:02:00.2: SEV API:0.17 build:48 ¶ kvm_amd: SEV supported');
    expect(summary.facts['preflight found']).toMatch(/^stale-capabilities: the kernel has SEV on/);
    expect(summary.notVerified).toEqual([
      "Preflight could not tell 'State of the SEV firmware': the kernel starts it when a guest first needs it.",
    ]);
  });
});
