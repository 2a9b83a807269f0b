import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';

/** The compiled program, as users run it. `npm test` builds first. */
const main = path.resolve(import.meta.dirname, '../../dist/harness/cli/main.js');

function faults(...words: readonly string[]) {
  return execa(process.execPath, [main, 'faults', '--profile', 'naples', ...words], { reject: false });
}

describe('a trial of the scenarios', { timeout: 60_000 }, () => {
  it('is green without a fault, and red under one in exactly the named checks, wherever it is asked for', async () => {
    const quick = await faults('--fault', 'stop-event-lost', '--json');
    expect(quick.stderr).toContain('1 faults, 1 caught, 0 false alarms');
    expect(quick.exitCode).toBe(0);
    const rows = quick.stdout.split('\n').map((line) => JSON.parse(line));
    expect(rows).toMatchObject([
      { fault: 'none', profile: 'naples', outcome: 'clean', leftOut: 0 },
      { fault: 'stop-event-lost', profile: 'naples', outcome: 'caught', unexpected: [], missing: [] },
    ]);
    const [clean, broken] = rows;
    expect(broken.ran).toBeGreaterThan(0);
    expect(broken.leftOut).toBeGreaterThan(0);
    expect(broken.ran + broken.leftOut).toBe(clean.ran);
  });

  it('does not miss a check of a scenario that the profile skips, such as one of SEV-ES on Naples', async () => {
    const { stdout, stderr } = await faults('--fault', 'plain-guest-takes-slot', '--json');
    expect(stderr).toContain('1 faults, 1 caught, 0 false alarms');
    expect(stdout.split('\n').map((line) => JSON.parse(line))).toMatchObject([
      { fault: 'none', outcome: 'clean' },
      { fault: 'plain-guest-takes-slot', outcome: 'caught', unexpected: [], missing: [] },
    ]);
  });

  it('is no false alarm when Ctrl-C cuts it short', async () => {
    const script = `
      import { mkdtempSync, rmSync } from 'node:fs';
      import { runTrials } from './fault-trials.js';
      import { loadScenarios } from './scenario-files.js';
      const folder = mkdtempSync(process.env.FOLDER);
      const interrupt = new AbortController();
      const red = new Set();
      let runs = 0;
      await runTrials(
        { scenarios: await loadScenarios(), trials: [{ profile: 'no-sev' }], folder, leavesOutUnasked: true },
        interrupt.signal,
        {
          onRun: (_, observed) => {
            runs++;
            for (const checks of observed.red.values()) for (const check of checks) red.add(check);
            interrupt.abort(new Error('interrupted'));
          },
          onStray: (what) => red.add(what),
        },
      );
      rmSync(folder, { recursive: true });
      console.log(JSON.stringify({ hasRun: runs > 0, red: [...red] }));`;
    const env = { FOLDER: path.join(tmpdir(), 'sevh-cut-short-') };
    const { stdout } = await execa(process.execPath, ['--input-type=module', '-e', script], {
      cwd: path.dirname(main),
      env,
      // The engine counts what was cut short as failed.
      reject: false,
    });
    expect(JSON.parse(stdout)).toEqual({ hasRun: true, red: [] });
  });

  it('names a fault that there is not', async () => {
    const { exitCode, stderr } = await faults('--fault', 'no-such-fault');
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/^error: .*no-such-fault/);
  });
});
