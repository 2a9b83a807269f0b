import { once } from 'node:events';
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { harnessError } from '../errors.ts';
import { EXIT, say } from './output.ts';

const ROOMS = ['core', 'attestation', 'harness', 'reports', 'scenarios'];
/** What the compiled `attest` runs on; to look at the other rooms too would take longer than a verification. */
const ATTEST_ROOMS = ['core', 'attestation', 'harness/cli', 'harness/libvirt', 'reports/model', 'reports/terminal'];

/**
 * In a checkout the compiled program may be older than its source: builds it and runs the new one in place of this.
 *
 * Returns the exit code of the new one, or `undefined` when the build is fresh. Throws `DIST_STALE`.
 */
export async function rerunWithFreshBuild(verb: string | undefined): Promise<number | undefined> {
  if (process.env.SEV_HARNESS_REBUILT === '1') return undefined;
  const root = path.resolve(import.meta.dirname, '../../..');
  // The bundle is written after the compiler's stamp, and alone it may be missing or old.
  const isBundle = import.meta.filename.endsWith('.cjs');
  const stamp = isBundle ? import.meta.filename : path.join(root, 'dist/.tsbuildinfo');
  if (!existsSync(path.join(root, 'tsconfig.build.json')) || !existsSync(stamp)) return undefined;
  const rooms = verb === 'attest' ? ATTEST_ROOMS : ROOMS;
  if (newestSourceMs(root, rooms) <= statSync(stamp).mtimeMs) return undefined;
  say('The source is newer than the build: compiling.');
  const startS = Date.now() / 1000;
  const { spawn, spawnSync } = await import('node:child_process');
  const build = spawnSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 2, 2] });
  if (build.status !== 0)
    throw harnessError('DIST_STALE', 'the source does not compile, and the compiled program is older', {
      hint: 'Repair what the compiler says above, or run `npm run build`.',
    });
  // The compiler leaves its stamp as old as it was where files are newer and say the same, as after a checkout.
  utimesSync(stamp, startS, startS);
  const again = spawn(process.execPath, process.argv.slice(1), {
    stdio: 'inherit',
    env: { ...process.env, SEV_HARNESS_REBUILT: '1' },
  });
  // A terminal sends Ctrl-C to both; only the new process knows what to clean up.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => again.kill(signal));
  const [code] = (await once(again, 'exit')) as [number | null];
  return code ?? EXIT.broken;
}

function newestSourceMs(root: string, rooms: readonly string[]): number {
  let newest = 0;
  for (const room of rooms) {
    for (const entry of readdirSync(path.join(root, room), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/(?<!\.test)\.(ts|json)$/.test(entry.name)) continue;
      newest = Math.max(newest, statSync(path.join(entry.parentPath, entry.name)).mtimeMs);
    }
  }
  return newest;
}
