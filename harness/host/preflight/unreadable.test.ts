import { describe, expect, it } from 'vitest';
import type { ProfileName } from '../../fakelibvirt/index.ts';
import { type Host, openHost } from '../host.ts';
import type { HostShell } from '../shell.ts';
import { evaluatePreflight, type PreflightReport } from './evaluate.ts';
import { readPreflight } from './read.ts';

const denied = { outcome: 'unreadable', because: 'Permission denied' } as const;

/** The host as a user sees it who may not look at `isClosed` paths; the paths that were asked for come along. */
function closing(host: Host, isClosed: (path: string) => boolean): { host: Host; asked: Set<string> } {
  const asked = new Set<string>();
  const guard = <A extends readonly unknown[], R>(look: (path: string, ...rest: A) => Promise<R>) => {
    return async (path: string, ...rest: A): Promise<R | typeof denied> => {
      asked.add(path);
      return isClosed(path) ? denied : await look(path, ...rest);
    };
  };
  const readFile = guard(host.shell.readFile);
  const shell: HostShell = {
    ...host.shell,
    readFile,
    readFiles: (paths) => Promise.all(paths.map((path) => readFile(path))),
    stat: guard(host.shell.stat),
    listFolder: guard(host.shell.listFolder),
  };
  return { host: { ...host, shell }, asked };
}

function outcomes({ rows }: PreflightReport): Map<string, string> {
  return new Map(rows.map(({ id, outcome }) => [id, outcome]));
}

const PROFILES: readonly ProfileName[] = ['naples-es', 'milan', 'sev-off-in-kernel', 'stale-capabilities'];

describe.each(PROFILES)('on profile %s', (profile) => {
  it('no path that nobody may look at turns any row into another answer than "unknown"', async () => {
    await using host = await openHost({ kind: 'emulated', text: `fake:${profile}`, profile });
    const open = closing(host, () => false);
    const report = evaluatePreflight(await readPreflight(open.host), { nova: 'master' });
    const before = outcomes(report);
    expect(open.asked.size).toBeGreaterThan(30);
    for (const path of open.asked) {
      const readings = await readPreflight(closing(host, (one) => one === path).host);
      const after = evaluatePreflight(readings, { nova: 'master' });
      for (const [id, outcome] of outcomes(after)) {
        const was = before.get(id);
        // What a failed parent skipped, and what did not apply because of it, is looked at again when it is not known to have failed.
        const isFreed = was === 'skip' || was === 'n/a';
        if (outcome !== was && !isFreed) expect([path, id, outcome]).toEqual([path, id, 'unknown']);
      }
      if (report.verdict === 'usable') expect([path, after.verdict]).not.toEqual([path, 'unusable']);
    }
  });
});
