import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { harnessError } from '../errors.ts';
import { EXIT, say } from './output.ts';

const ROOMS = ['core', 'attestation', 'harness', 'reports', 'scenarios'];

/**
 * In a checkout the compiled program may be older than its source: builds it and runs the new one in place of this.
 *
 * Returns the exit code of the new one, or `undefined` when the build is fresh. Throws `DIST_STALE`.
 */
export async function rerunWithFreshBuild(): Promise<number | undefined> {
  const root = path.resolve(import.meta.dirname, '../../..');
  const stamp = path.join(root, 'dist/.tsbuildinfo');
  if (!existsSync(path.join(root, 'tsconfig.build.json')) || !existsSync(stamp)) return undefined;
  if (newestSourceMs(root) <= statSync(stamp).mtimeMs || process.env.SEV_HARNESS_REBUILT === '1') return undefined;
  say('The source is newer than the build: compiling.');
  const build = spawnSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 2, 2] });
  if (build.status !== 0)
    throw harnessError('DIST_STALE', 'the source does not compile, and the compiled program is older', {
      hint: 'Repair what the compiler says above, or run `npm run build`.',
    });
  const again = spawn(process.execPath, process.argv.slice(1), {
    stdio: 'inherit',
    env: { ...process.env, SEV_HARNESS_REBUILT: '1' },
  });
  // A terminal sends Ctrl-C to both; only the new process knows what to clean up.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => again.kill('SIGTERM'));
  const [code] = (await once(again, 'exit')) as [number | null];
  return code ?? EXIT.broken;
}

function newestSourceMs(root: string): number {
  let newest = 0;
  for (const room of ROOMS) {
    for (const entry of readdirSync(path.join(root, room), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/(?<!\.test)\.(ts|json)$/.test(entry.name)) continue;
      newest = Math.max(newest, statSync(path.join(entry.parentPath, entry.name)).mtimeMs);
    }
  }
  return newest;
}
