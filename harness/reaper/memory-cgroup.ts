import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { errorText } from '../../core/errors.ts';

/** A group of processes on this machine that get no more memory than this together: the kernel kills one of them first. */
export interface MemoryCgroup extends AsyncDisposable {
  take(pid: number): Promise<void>;
  /** How many processes the kernel has killed in it. */
  kills(): Promise<number>;
}

const REMOVE_POLLS = 100;

const VERSIONS = [
  { parent: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes', counts: 'memory.oom_control' },
  { parent: '/sys/fs/cgroup', limit: 'memory.max', counts: 'memory.events' },
] as const;

/** With the memory controller of version 1 or 2, whichever this machine lets us use. Throws what it refused. */
export async function makeMemoryCgroup(limitBytes: number): Promise<MemoryCgroup> {
  const refusals: string[] = [];
  for (const { parent, limit, counts } of VERSIONS) {
    const folder = path.join(parent, `sevh-test-${process.pid}`);
    try {
      await mkdir(folder);
      // Opened as it is: where there is no memory controller there is no such file.
      await writeFile(path.join(folder, limit), String(limitBytes), { flag: 'r+' });
      return memoryCgroup(folder, counts);
    } catch (error) {
      refusals.push(errorText(error));
      await rmdir(folder).catch(() => {});
    }
  }
  throw new Error(refusals.join('; '));
}

function memoryCgroup(folder: string, counts: string): MemoryCgroup {
  return {
    take: (pid) => writeFile(path.join(folder, 'cgroup.procs'), String(pid), { flag: 'r+' }),
    kills: async () => {
      const text = await readFile(path.join(folder, counts), 'utf8');
      return Number(/^oom_kill (\d+)$/m.exec(text)?.[1]);
    },
    [Symbol.asyncDispose]: () => remove(folder),
  };
}

/** Busy until the dead in it have been collected. */
async function remove(folder: string): Promise<void> {
  for (let poll = 1; ; poll++) {
    try {
      return await rmdir(folder);
    } catch (error) {
      if (poll === REMOVE_POLLS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
