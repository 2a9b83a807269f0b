import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CheckRow, SlotTimeline } from '../../reports/model/run.ts';

const main = path.resolve(import.meta.dirname, '../../dist/harness/cli/main.js');
const SCENARIOS = ['slot-limit', 'slot-churn', 'slot-es-split'];
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-max-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The slot scenarios with three guests of a kind at most, on a host with eleven slots for SEV and four for SEV-ES. */
async function runWithThree(...more: string[]) {
  const report = path.join(folder, `report${more.length}`);
  const words = [...SCENARIOS, '--host', 'fake:naples-es', '--max-guests', '3', '--report', report, ...more];
  await execa(process.execPath, [main, 'scenario', ...words], { reject: false });
  const events = readFileSync(path.join(report, 'run.jsonl'), 'utf8').trim().split('\n');
  const rows = events.flatMap((line) => (JSON.parse(line) as { check?: CheckRow }).check ?? []);
  const idsOf = (outcome: CheckRow['outcome']) => rows.filter((row) => row.outcome === outcome).map(({ id }) => id);
  const started = (scenario: string, kind: string) => {
    const timeline = readFileSync(path.join(report, 'artifacts', `${scenario}-slot-timeline.json`), 'utf8');
    return (JSON.parse(timeline) as SlotTimeline).guests.filter(({ pool }) => pool === kind).length;
  };
  return { rows, idsOf, started };
}

describe('--max-guests below what the host has', () => {
  it('holds the guests back, skips what only a full host shows with the reason, and checks the rest', async () => {
    const { rows, idsOf, started } = await runWithThree();
    expect(idsOf('failed')).toEqual([]);
    expect(idsOf('passed').sort()).toEqual([
      'es-limit-agrees',
      'every-launch-starts',
      'limit-agrees',
      'nothing-lost',
      'nothing-lost',
      'nothing-lost',
      'plain-guests-counted',
      'stop-is-announced',
    ]);
    for (const { outcome, because } of rows)
      if (outcome === 'skipped') expect(because).toMatch(/^--max-guests 3 holds this run below the host's limit of/);
    expect(started('slot-limit', 'sev')).toBe(3);
    expect(started('slot-es-split', 'sev')).toBe(3);
    expect(started('slot-es-split', 'sev-es')).toBe(3 + 3);
  });

  it('hides no slot that is missing', async () => {
    const { idsOf } = await runWithThree('--fault', 'slot-leak-on-destroy');
    expect(idsOf('failed')).toEqual(
      expect.arrayContaining(['every-launch-starts', 'capacity-unchanged', 'es-unaffected-by-sev']),
    );
  });
});
