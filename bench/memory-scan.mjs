#!/usr/bin/env node
// What looking through a guest's memory costs: beside `cat FILE >/dev/null` on the same bytes, in turns, the best of each; and how much
// the process grows from 256 MiB to 8 GiB. Prints ratios: absolute speeds belong to the machine. Run `npm run build` first.
//
// Files: 1 GiB of random bytes (no two pages equal, as ciphertext) that is in the page cache, and sparse files (holes, which read as
// zeros, as a guest's untouched memory) for the sizes that no test machine has to spare. Random memory of 8 GiB is 8 times the same 1 GiB.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const RANDOM_BYTES = GiB;
const ROUNDS = 5;
const SPEED_GOAL = 0.5;
const GROWTH_GOAL = 1.15;
const self = fileURLToPath(import.meta.url);

/** @param {string} text */
const say = (text) => console.log(text);

/** One scan in a process of its own: its time without the start, and its largest resident size. @param {string} file @param {number} bytes @param {number} copies @param {number} threads */
function scanned(file, bytes, copies, threads) {
  const words = [self, '--scan', file, String(bytes), String(copies), String(threads)];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the scan of ${file} ended with ${status}: ${stderr}`);
  return /** @type {{ ms: number, cpuMs: number, peakKiB: number }} */ (JSON.parse(stdout));
}

/** Wall time, and the time on a processor, which other programs of a busy machine change less. @param {string} file */
function cat(file) {
  const started = performance.now();
  const { status, stdout } = spawnSync('sh', ['-c', 'cat -- "$1" >/dev/null; times', 'sh', file], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cat ${file} ended with ${status}`);
  const ms = performance.now() - started;
  // The second line of `times` is for the shell's children: user and system.
  const parts = [...(stdout.split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)];
  return { ms, cpuMs: parts.reduce((sum, [, m, s]) => sum + Number(m) * 60_000 + Number(s) * 1000, 0) };
}

async function scanHere() {
  const [file = '', bytes = '', copies = '', threads = ''] = process.argv.slice(3);
  const { scanMemory } = await import('../dist/harness/guest/memory/scan.js');
  const size = Number(bytes);
  const extents = Array.from({ length: Number(copies) }, (_, copy) => ({
    guestAddress: copy * size,
    bytes: size,
    fileOffset: 0,
  }));
  const memory = {
    ranges: extents,
    windowBytes: MiB,
    read: async () => new Uint8Array(),
    file: { path: file, extents },
  };
  const started = performance.now();
  const before = process.cpuUsage();
  await scanMemory(memory, {
    token: Buffer.from('sevh bench token, 32 bytes of it'),
    threads: Number(threads),
  });
  const ms = performance.now() - started;
  const { user, system } = process.cpuUsage(before);
  const peakKiB = Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  console.log(JSON.stringify({ ms, cpuMs: (user + system) / 1000, peakKiB }));
}

/** @param {string} title @param {string} file @param {number} bytes */
function compareSpeed(title, file, bytes) {
  const threads = availableParallelism();
  const runs = Array.from({ length: ROUNDS }, () => ({
    cat: cat(file),
    one: scanned(file, bytes, 1, 1),
    all: scanned(file, bytes, 1, threads),
  }));
  const best = (/** @type {'cat' | 'one' | 'all'} */ who, /** @type {'ms' | 'cpuMs'} */ what) =>
    Math.min(...runs.map((run) => run[who][what]));
  const speed = (/** @type {number} */ ms) => `${(bytes / ms / 1e6).toFixed(1)} GB/s`;
  const ratio = best('cat', 'ms') / best('all', 'ms');
  say(
    `${title}: ${ratio.toFixed(2)} of the speed of cat with ${threads} threads, ${(best('cat', 'ms') / best('one', 'ms')).toFixed(2)} with one`,
  );
  say(
    `  cat ${speed(best('cat', 'ms'))}, scan ${speed(best('all', 'ms'))}, with one thread ${speed(best('one', 'ms'))}`,
  );
  const quiet = (best('cat', 'cpuMs') / best('all', 'cpuMs')) * threads;
  say(`  by processor time, as if ${threads} processors were free: ${quiet.toFixed(2)}`);
  return ratio;
}

function compareSizes(/** @type {string} */ random, /** @type {string} */ folder) {
  /** @type {[string, number, number][]} */
  const growth = [];
  for (const [title, peak] of /** @type {const} */ ([
    [
      'random',
      (/** @type {number} */ copies) =>
        copies === 0 ? scanned(random, 256 * MiB, 1, 2) : scanned(random, GiB, copies, 2),
    ],
    [
      'sparse',
      (/** @type {number} */ copies) => {
        const size = copies === 0 ? 256 * MiB : copies * GiB;
        const file = path.join(folder, `sparse-${size}`);
        closeSync(openSync(file, 'w'));
        truncateSync(file, size);
        return scanned(file, size, 1, 2);
      },
    ],
  ])) {
    const [small, large] = [peak(0).peakKiB, peak(8).peakKiB];
    growth.push([title, small, large]);
    say(
      `${title}: ${Math.round(small / 1024)} MiB resident at most for 256 MiB, ${Math.round(large / 1024)} MiB for 8 GiB: ${(large / small).toFixed(2)}`,
    );
  }
  return Math.max(...growth.map(([, small, large]) => large / small));
}

function main() {
  const folder = mkdtempSync(path.join(tmpdir(), 'sevh-bench-'));
  try {
    const random = path.join(folder, 'random');
    const file = openSync(random, 'w');
    for (let at = 0; at < RANDOM_BYTES; at += 16 * MiB) writeSync(file, randomBytes(16 * MiB));
    closeSync(file);
    const sparse = path.join(folder, 'sparse');
    closeSync(openSync(sparse, 'w'));
    truncateSync(sparse, RANDOM_BYTES);
    const slowest = Math.min(
      compareSpeed('1 GiB of random bytes', random, RANDOM_BYTES),
      compareSpeed('1 GiB of holes', sparse, RANDOM_BYTES),
    );
    say(`goal ${SPEED_GOAL}: ${slowest >= SPEED_GOAL ? 'met' : 'missed'}`);
    const growth = compareSizes(random, folder);
    say(`goal ${GROWTH_GOAL}: ${growth <= GROWTH_GOAL ? 'met' : 'missed'}`);
    return slowest >= SPEED_GOAL && growth <= GROWTH_GOAL ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[2] === '--scan') await scanHere();
else process.exitCode = main();
