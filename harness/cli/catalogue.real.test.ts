import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { CheckRow, Run } from '../../reports/model/run.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
const main = path.resolve(import.meta.dirname, '../../dist/harness/cli/main.js');
const folder = mkdtempSync(path.join(tmpdir(), 'sevh-catalogue-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What has a half that needs no encryption; perf-overhead has one too, and takes minutes without hardware. */
const CONTROLS = ['ksm', 'lifecycle-allowed', 'memory-encryption', 'memory-pinning', 'slot-limit'];
const SLOW = 'perf-overhead';
const KSM = '/sys/kernel/mm/ksm/run';

describe.skipIf(uri === undefined)('the catalogue on a real host without SEV', { timeout: 240_000 }, () => {
  it('runs the control halves for real, and skips the rest with the reason', () => {
    const listed = spawnSync(process.execPath, [main, 'scenario', '--list', '--json'], { encoding: 'utf8' });
    const catalogue = JSON.parse(listed.stdout) as readonly { readonly id: string }[];
    const ids = catalogue.map(({ id }) => id).filter((id) => id !== SLOW);
    expect(ids).toEqual(expect.arrayContaining(CONTROLS));
    const ksmBefore = existsSync(KSM) ? readFileSync(KSM, 'utf8') : undefined;
    const words = [main, 'scenario', ...ids, '--host', uri ?? '', '--allow-destructive', '--report', folder];
    const result = spawnSync(process.execPath, words, { encoding: 'utf8' });
    const run = JSON.parse(readFileSync(path.join(folder, 'run.json'), 'utf8')) as Run;
    const by = (status: string) => run.scenarios.filter((one) => one.status === status).map(({ id }) => id);
    expect(by('passed').sort(), result.stdout + result.stderr).toEqual(CONTROLS);
    expect(by('skipped').sort()).toEqual(ids.filter((id) => !CONTROLS.includes(id)).sort());
    for (const { id, status, reason } of run.scenarios)
      if (status === 'skipped') expect(`${id}: ${reason}`).toContain('needs sev');
    expect(result.status).toBe(0);
    expect(existsSync(KSM) ? readFileSync(KSM, 'utf8') : undefined).toBe(ksmBefore);
  });
});

/** Guests that the host itself counts the processor time of: minutes of it, so only where they were asked for. */
describe.skipIf(uri === undefined || process.env.SEV_HARNESS_REAL_SLOW !== '1')(
  'the control half of perf-overhead on a real host without SEV',
  { timeout: 900_000 },
  () => {
    it('finds that two equal guests take the same processor time; on a busy machine that of a disk scatters too much', () => {
      const words = [main, 'scenario', SLOW, '--host', uri ?? '', '--report', folder];
      const result = spawnSync(process.execPath, words, { encoding: 'utf8' });
      expect(result.status, result.stderr).toBe(0);
      const events = readFileSync(path.join(folder, 'run.jsonl'), 'utf8').trim().split('\n');
      const checks = events.flatMap((line) => (JSON.parse(line) as { check?: CheckRow }).check ?? []);
      const agree = checks.find(({ id }) => id === 'equal-guests-agree');
      const why = agree?.outcome === 'skipped' ? agree.because : agree?.outcome;
      expect(why).toMatch(/^passed$|^the samples scatter too much: disk-read [^;]*$/);
      expect(checks).toContainEqual(expect.objectContaining({ id: 'slowdown-moderate', outcome: 'skipped' }));
    });
  },
);
