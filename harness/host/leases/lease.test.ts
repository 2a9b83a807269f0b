import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { execa } from 'execa';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { virtualClock } from '../../../core/clock.ts';
import { currentOwner } from '../../guest/ownership.ts';
import { reapLease } from '../../reaper/reap.ts';
import { localShell, shellOf } from '../shell.ts';
import { type LeaseFile, leaseFile } from './file.ts';
import { type HeldLease, takeLease } from './hold.ts';
import { formatLease, judgeLease, LEASE_EXPIRES_S, parseLease } from './record.ts';

let folder: string;
let file: LeaseFile;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sevh-lease-'));
  file = leaseFile(localShell, `${folder}/leases`, 'host.lease');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const take = (runId: string, options: Partial<Parameters<typeof takeLease>[2]> = {}): Promise<HeldLease> =>
  takeLease(file, 'qemu:///system', { owner: currentOwner(runId), user: 'eva', ...options });

/** Puts a lease there as another harness would have, so many seconds ago. */
async function plant(text: string, ageS = 0): Promise<void> {
  await mkdir(path.dirname(file.path), { recursive: true });
  await writeFile(file.path, text);
  const thenS = Date.now() / 1000 - ageS;
  await utimes(file.path, thenS, thenS);
}

const leaseOf = (owner: Partial<ReturnType<typeof currentOwner>>) =>
  formatLease({
    owner: { ...currentOwner('other'), ...owner },
    user: 'eva',
    sinceMs: 1_800_000_000_000,
    host: 'qemu:///system',
  });
const elsewhere = () => leaseOf({ machine: 'lab8', place: 'another boot', pid: 77 });

async function deadOwner() {
  const child = spawn('true');
  await once(child, 'exit');
  return { pid: child.pid ?? 0, startTicks: '1' };
}

describe('a lease', () => {
  it('is held by one run, and free again after its release', async () => {
    const held = await take('first');
    await expect(take('second')).rejects.toMatchObject({ code: 'HOST_LEASED', kind: 'environment' });
    await held.release();
    await (await take('second')).release();
    expect(await readdir(path.dirname(file.path))).toEqual([]);
  });

  it('that is held says by whom, since when, where and what to do, in one line', async () => {
    await plant(elsewhere());
    const error = await take('second').catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      message: `host qemu:///system is in use by run other of eva (process 77 on lab8) since 2027-01-15T08:00:00Z (${file.path})`,
      hint: expect.stringMatching(/--wait SECONDS.*npm run reap/),
    });
  });

  it('is waited for as long as asked, and no longer', async () => {
    const held = await take('first');
    const words: string[] = [];
    const clock = virtualClock(5_000);
    const impatient = take('second', { waitMs: 3_500, clock, onWait: (who) => words.push(who) });
    await expect(impatient).rejects.toMatchObject({ code: 'HOST_LEASED' });
    expect(clock.nowMs()).toBe(8_500);
    expect(words).toEqual([expect.stringContaining('run first of eva')]);
    let polls = 0;
    const patient = await take('second', {
      waitMs: 60_000,
      clock: {
        nowMs: () => 0,
        sleep: async () => {
          if (++polls === 2) await held.release();
        },
      },
    });
    expect(polls).toBe(2);
    await patient.release();
  });

  it('is not waited for after Ctrl-C', async () => {
    await using _ = { [Symbol.asyncDispose]: (await take('first')).release };
    const interrupt = new AbortController();
    const waiting = take('second', {
      waitMs: 60_000,
      signal: interrupt.signal,
      onWait: () => interrupt.abort(new Error('Ctrl-C')),
    });
    await expect(waiting).rejects.toThrow('Ctrl-C');
  });

  it('of a process that is dead is taken over, however fresh it is', async () => {
    await plant(leaseOf(await deadOwner()));
    await (await take('second')).release();
  });

  it('of a living process is never taken over, however old it is', async () => {
    await plant(leaseOf({}), LEASE_EXPIRES_S * 100);
    await expect(take('second')).rejects.toMatchObject({ code: 'HOST_LEASED' });
  });

  it('from another machine counts until nobody has renewed it for long', async () => {
    await plant(elsewhere(), LEASE_EXPIRES_S - 20);
    await expect(take('second')).rejects.toMatchObject({ code: 'HOST_LEASED' });
    await plant(elsewhere(), LEASE_EXPIRES_S + 20);
    await (await take('second')).release();
  });

  it.each([
    ['empty', ''],
    ['cut off', '{'],
    ['other JSON', '{"runId":1}'],
    ['null', 'null'],
    ['bytes', '\0\xff\n\n'],
    ['long', 'x'.repeat(10_000)],
  ])('that is no lease (%s) is respected while it is fresh, and replaced later', async (_, text) => {
    await plant(text);
    await expect(take('second')).rejects.toMatchObject({
      code: 'HOST_LEASED',
      message: expect.stringMatching(/^[^\n\0]*a file that is no lease[^\n\0]*$/),
    });
    await plant(text, LEASE_EXPIRES_S + 20);
    await (await take('second')).release();
  });

  it('is renewed while its owner lives, who notices when another has it', async () => {
    const lost: string[] = [];
    const held = await take('first', { onLost: (words) => lost.push(words) });
    const text = await readFile(file.path, 'utf8');
    await plant(text, LEASE_EXPIRES_S + 20);
    await held.renew();
    expect((await file.look())?.ageS).toBeLessThan(LEASE_EXPIRES_S);
    expect(lost).toEqual([]);
    await plant(elsewhere());
    await held.renew();
    expect(lost).toEqual([expect.stringContaining('run other of eva')]);
    await held.release();
  });

  it('is renewed three times by itself before it expires, also after a host that did not answer, and not after its release', async () => {
    const swaps: (string | undefined)[] = [];
    let looks = 0;
    let isSilent = false;
    const inMemory: LeaseFile = {
      path: '/leases/host.lease',
      look: async () => {
        looks++;
        if (isSilent) throw new Error('no route to host');
        const text = swaps.at(-1);
        return text === undefined ? undefined : { text, ageS: 0, sha256Hex: `${swaps.length}` };
      },
      swap: async (_, text) => {
        swaps.push(text);
        return 'swapped';
      },
    };
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const third = (LEASE_EXPIRES_S * 1000) / 3;
      const held = await takeLease(inMemory, 'h', { owner: currentOwner('first'), user: 'eva' });
      const [text] = swaps;
      await vi.advanceTimersByTimeAsync(third);
      isSilent = true;
      await vi.advanceTimersByTimeAsync(third);
      isSilent = false;
      await vi.advanceTimersByTimeAsync(third);
      await held.release();
      expect(swaps.slice(0, 4)).toEqual([text, text, text, text]);
      expect(swaps.at(-1)).toBeUndefined();
      const before = looks;
      await vi.advanceTimersByTimeAsync(third);
      expect(looks).toBe(before);
    } finally {
      vi.useRealTimers();
    }
  });

  it('can be read by all who share the host, under any umask', async () => {
    const run: typeof localShell.run = (words) => localShell.run(['sh', '-c', 'umask 077; exec "$@"', 'sh', ...words]);
    file = leaseFile({ ...localShell, run }, `${folder}/leases`, 'host.lease');
    const held = await take('first');
    expect(await localShell.stat(file.path)).toMatchObject({ outcome: 'read', stat: { mode: 0o644 } });
    await held.renew();
    expect(await localShell.stat(file.path)).toMatchObject({ outcome: 'read', stat: { mode: 0o644 } });
    expect(await localShell.stat(path.dirname(file.path))).toMatchObject({ outcome: 'read', stat: { mode: 0o777 } });
    await held.release();
  });

  it('is not removed by an owner who has lost it', async () => {
    const held = await take('first');
    await plant(elsewhere());
    await held.release();
    expect(await readFile(file.path, 'utf8')).toBe(elsewhere());
  });

  it('goes to exactly one of many who want it at the same time, free or dead', async () => {
    for (const before of [undefined, leaseOf(await deadOwner()), leaseOf(await deadOwner())]) {
      if (before !== undefined) await plant(before);
      const attempts = await Promise.allSettled(Array.from({ length: 12 }, (_, index) => take(`run${index}`)));
      const won = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []));
      expect(won).toHaveLength(1);
      await won[0]?.release();
    }
  });
});

describe('two processes that take and release the same host again and again', () => {
  it('never have it at the same time', async () => {
    const module = (name: string) => JSON.stringify(pathToFileURL(path.resolve('dist/harness', name)).href);
    const log = path.join(folder, 'log');
    // Whoever has the host creates a file that must not exist yet.
    const program = `
      import { appendFileSync, unlinkSync, writeFileSync } from 'node:fs';
      import { leaseFile } from ${module('host/leases/file.js')};
      import { takeLease } from ${module('host/leases/hold.js')};
      import { localShell } from ${module('host/shell.js')};
      import { currentOwner } from ${module('guest/ownership.js')};
      const file = leaseFile(localShell, ${JSON.stringify(path.dirname(file.path))}, 'host.lease');
      const clock = { nowMs: () => Date.now(), sleep: () => new Promise((r) => setTimeout(r, 1)) };
      for (let n = 0; n < 15; n++) {
        const held = await takeLease(file, 'h', { owner: currentOwner('r'), user: 'u', waitMs: 30000, clock });
        writeFileSync(${JSON.stringify(log)} + '.mine', '', { flag: 'wx' });
        await new Promise((r) => setTimeout(r, 1));
        unlinkSync(${JSON.stringify(log)} + '.mine');
        appendFileSync(${JSON.stringify(log)}, process.pid + '\\n');
        await held.release();
      }`;
    const run = () => execa(process.execPath, ['--input-type=module', '-e', program], { reject: false });
    const both = await Promise.all([run(), run()]);
    expect(both.map(({ exitCode, stderr }) => ({ exitCode, stderr }))).toEqual([
      { exitCode: 0, stderr: '' },
      { exitCode: 0, stderr: '' },
    ]);
    const turns = (await readFile(log, 'utf8')).trim().split('\n');
    expect(turns).toHaveLength(30);
    expect(new Set(turns).size).toBe(2);
  });
});

describe('a folder of leases', () => {
  it('is made for everybody who may use the host', async () => {
    const held = await take('first');
    const stat = await localShell.stat(path.dirname(file.path));
    expect(stat).toMatchObject({ outcome: 'read', stat: { mode: 0o777 } });
    await held.release();
  });

  it('that cannot be made is one clear line', async () => {
    await writeFile(path.join(folder, 'file'), '');
    const inFile = leaseFile(localShell, path.join(folder, 'file/leases'), 'host.lease');
    await expect(takeLease(inFile, 'h', { owner: currentOwner('r'), user: 'eva' })).rejects.toMatchObject({
      code: 'HOST_LEASE_UNUSABLE',
      message: expect.stringMatching(/^cannot use the lease file \S+: mkdir: [^\n]*Not a directory$/),
      hint: expect.stringContaining('SEV_HARNESS_LEASES'),
    });
  });

  it('in which nothing can be written is one clear line', async () => {
    const inProc = leaseFile(localShell, '/proc', 'host.lease');
    await expect(takeLease(inProc, 'h', { owner: currentOwner('r'), user: 'eva' })).rejects.toMatchObject({
      code: 'HOST_LEASE_UNUSABLE',
      message: expect.stringContaining('/proc/host.lease'),
    });
  });

  it('with a link in place of the lease is refused, and what the link leads to is untouched', async () => {
    await mkdir(path.dirname(file.path));
    await writeFile(path.join(folder, 'victim'), 'precious');
    await symlink(path.join(folder, 'victim'), file.path);
    await expect(take('first')).rejects.toMatchObject({
      code: 'HOST_LEASE_UNUSABLE',
      message: expect.stringContaining('is not a plain file'),
    });
    expect(await readFile(path.join(folder, 'victim'), 'utf8')).toBe('precious');
  });

  it('lies on the other machine when the host is behind ssh, whatever its login shell prints first', async () => {
    const fakeSsh = path.join(folder, 'ssh');
    await writeFile(fakeSsh, '#!/bin/sh\nfor last; do :; done\necho Welcome\nexec sh -c "$last"\n');
    await chmod(fakeSsh, 0o700);
    const shell = shellOf(`qemu+ssh://lab7/system?command=${encodeURIComponent(fakeSsh)}`);
    file = leaseFile(shell, path.join(folder, `it's $HOME "far"`), 'host.lease');
    const held = await take('first');
    await expect(take('second')).rejects.toMatchObject({ code: 'HOST_LEASED' });
    await held.release();
    expect(await readdir(path.join(folder, `it's $HOME "far"`))).toEqual([]);
  });
});

describe('npm run reap', () => {
  it('says nothing of a host without a lease', async () => {
    expect(await reapLease(file, { dryRun: false })).toEqual([]);
  });

  it('keeps the lease of a run that is alive, even when that run is named', async () => {
    const held = await take('first');
    expect(await reapLease(file, { dryRun: false, runId: 'first' })).toMatchObject([{ action: 'kept' }]);
    await held.release();
  });

  it('removes the lease of a dead run, and only says so in a dry run', async () => {
    await plant(leaseOf(await deadOwner()));
    expect(await reapLease(file, { dryRun: true })).toMatchObject([{ action: 'would-remove', runId: 'other' }]);
    expect(await reapLease(file, { dryRun: false, runId: 'third' })).toMatchObject([{ action: 'kept' }]);
    expect(await reapLease(file, { dryRun: false })).toMatchObject([{ action: 'removed', name: file.path }]);
    expect(await file.look()).toBeUndefined();
  });

  it('removes the lease of a run elsewhere when it is named', async () => {
    await plant(elsewhere());
    expect(await reapLease(file, { dryRun: false })).toMatchObject([{ action: 'kept' }]);
    expect(await reapLease(file, { dryRun: false, runId: 'other' })).toMatchObject([{ action: 'removed' }]);
  });
});

describe('the text of a lease', () => {
  it('reads back as it was written', () => {
    const lease = { owner: currentOwner('r'), user: 'éva "x"', sinceMs: 0, host: 'qemu:///system' };
    expect(parseLease(formatLease(lease))).toEqual(lease);
  });

  it('is judged in one line for any content', () => {
    const fields = ['runId', 'machine', 'place', 'pid', 'startTicks', 'user', 'sinceMs', 'host'];
    const like = fc.record(Object.fromEntries(fields.map((name) => [name, fc.oneof(fc.string(), fc.double())])));
    const texts = fc.oneof(
      fc.string(),
      fc.json(),
      like.map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(texts, fc.integer({ min: -10, max: 1000 }), (text, ageS) => {
        const { isHeld, words } = judgeLease({ text, ageS, sha256Hex: '' });
        expect(words).not.toMatch(/\p{Cc}/u);
        expect(isHeld).toBe(ageS <= LEASE_EXPIRES_S);
      }),
      { numRuns: 500 },
    );
  });
});
