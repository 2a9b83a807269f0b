import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { CheckRow, Run } from '../../reports/model/run.ts';
import { startEmulatedHost } from '../fakelibvirt/index.ts';

const main = path.resolve(import.meta.dirname, '../../dist/harness/cli/main.js');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-es-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What needs SEV-ES, or does something else where there is none. */
const SCENARIOS = ['slot-es-split', 'launch-measure', 'lifecycle-refused', 'policy-matrix', 'domain-conformance'];

/** A host that promises SEV-ES slots and has SEV-SNP on: firmware with the fix of CVE-2025-48514 refuses, older takes. */
async function runOn(esBesideSnp: 'refused' | 'taken', more: readonly string[] = []) {
  await using host = await startEmulatedHost({ profile: 'milan', faults: [], esBesideSnp });
  const report = path.join(folder, `${esBesideSnp}${more.length}`);
  const words = ['scenario', ...SCENARIOS, '--host', host.uri, '--report', report, ...more];
  const { exitCode, stderr } = await execa(process.execPath, [main, ...words], {
    reject: false,
    env: { SEV_HARNESS_REBUILT: '1', NO_COLOR: '1' },
  });
  const run = JSON.parse(readFileSync(path.join(report, 'run.json'), 'utf8')) as Run;
  const reasons = run.scenarios.filter(({ status }) => status === 'skipped').map(({ id, reason }) => [id, reason]);
  const events = readFileSync(path.join(report, 'run.jsonl'), 'utf8').trim().split('\n');
  const made = events.flatMap((line) => (JSON.parse(line) as { check?: CheckRow }).check ?? []);
  const unmade = made.filter(({ outcome }) => outcome === 'skipped').map(({ id, because }) => [id, because]);
  return { exitCode, stderr, run, reasons, unmade: Object.fromEntries(unmade) };
}

const WHY = 'needs sev-es: the firmware refuses SEV-ES while SEV-SNP is on: UNSUPPORTED (21)';

it('SEV-ES that the firmware refuses is no red: what needs it is skipped with the reason, and the refusal is checked', async () => {
  const { exitCode, stderr, run, reasons, unmade } = await runOn('refused');
  expect(exitCode, stderr).toBe(0);
  expect(reasons).toEqual([['slot-es-split', WHY]]);
  expect(unmade['es-measurement-verifies']).toBe(WHY);
  expect(unmade['es-reset-ends']).toBe(WHY);
  expect(unmade).not.toHaveProperty('es-without-es-refused');
  expect(unmade).not.toHaveProperty('es-policy-without-es-refused');
  expect(run.hostFacts?.capabilities).toEqual(['sev']);
  expect(run.hostFacts?.facts['sev-es slots']).toMatch(
    /^domcapabilities \d+.*; the firmware refuses SEV-ES: UNSUPPORTED \(21\)$/,
  );
});

it('and fails a run that requires SEV-ES', async () => {
  expect((await runOn('refused', ['--require', 'sev-es'])).exitCode).toBe(2);
});

it('SEV-ES that the firmware takes beside SEV-SNP is used', async () => {
  const { exitCode, stderr, run, reasons, unmade } = await runOn('taken');
  expect(exitCode, stderr).toBe(0);
  expect(reasons).toEqual([]);
  expect(unmade).not.toHaveProperty('es-measurement-verifies');
  expect(unmade).not.toHaveProperty('es-reset-ends');
  expect(run.hostFacts?.capabilities).toEqual(['sev', 'sev-es']);
});
