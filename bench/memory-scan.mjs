#!/usr/bin/env node
// What looking through a guest's memory costs, beside programs that read the same bytes and throw them away: `cat FILE >/dev/null` for
// files that are in the page cache, `dd` for /proc/PID/mem of another process. In turns, medians of several rounds; and how much the
// process grows from 256 MiB to 8 GiB. Prints ratios: absolute speeds belong to the machine. Run `npm run build` first.
//
// The time of a scan begins when Node runs and includes the start of its threads; that of cat and dd includes their start.
//
// Files: 1 GiB of random bytes (no two pages equal, as ciphertext) and sparse files (holes, which read as zeros, as a guest's
// untouched memory) for the sizes that no test machine has to spare. Random memory of 8 GiB is 8 times the same 1 GiB.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, fsyncSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const RANDOM_BYTES = GiB;
const PROCESS_BYTES = 512 * MiB;
const ROUNDS = 7;
const SPEED_GOAL = 0.5;
const GROWTH_GOAL = 1.15;
const self = fileURLToPath(import.meta.url);

/** @param {string} text */
const say = (text) => console.log(text);

/** @typedef {{ ms: number, cpuMs: number }} Cost */

/** @param {number[]} numbers */
const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

const machine = () => {
  const load = loadavg().map((number) => number.toFixed(1));
  const model = cpus()[0]?.model.trim();
  return `${availableParallelism()} x ${model}, Linux ${release()}, Node ${process.version}, load ${load.join(' ')}`;
};

/** One scan in a process of its own: its time without Node's start, and its largest resident size. @param {string} file @param {number} offset @param {number} bytes @param {number} copies @param {number} threads */
function scanned(file, offset, bytes, copies, threads) {
  const words = [self, '--scan', file, ...[offset, bytes, copies, threads].map(String)];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the scan of ${file} ended with ${status}: ${stderr}`);
  return /** @type {Cost & { peakKiB: number }} */ (JSON.parse(stdout));
}

/** Wall time, and the time on a processor, which other programs of a busy machine change less. @param {string} command @param {string[]} words */
function plain(command, words) {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync('sh', ['-c', `${command} >/dev/null; times`, 'sh', ...words], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`);
  const ms = performance.now() - started;
  // The second line of `times` is for the shell's children: user and system.
  const parts = [...(stdout.split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)];
  return { ms, cpuMs: parts.reduce((sum, [, m, s]) => sum + Number(m) * 60_000 + Number(s) * 1000, 0) };
}

async function scanHere() {
  const [file = '', ...numbers] = process.argv.slice(3);
  const [fileOffset = 0, size = 0, copies = 0, threads = 0] = numbers.map(Number);
  const { scanMemory } = await import('../dist/harness/guest/memory/scan.js');
  const extents = Array.from({ length: copies }, (_, copy) => ({ guestAddress: copy * size, bytes: size, fileOffset }));
  const memory = {
    ranges: extents,
    windowBytes: MiB,
    read: async () => new Uint8Array(),
    file: { path: file, extents },
  };
  const started = performance.now();
  const before = process.cpuUsage();
  await scanMemory(memory, { token: Buffer.from('sevh bench token, 32 bytes of it'), threads });
  const ms = performance.now() - started;
  const { user, system } = process.cpuUsage(before);
  const peakKiB = Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  console.log(JSON.stringify({ ms, cpuMs: (user + system) / 1000, peakKiB }));
}

/** @param {string} title @param {number} bytes @param {() => Cost} reader @param {(threads: number) => Cost} scan */
function compareSpeed(title, bytes, reader, scan) {
  const threads = availableParallelism();
  const runs = Array.from({ length: ROUNDS }, () => ({ reader: reader(), one: scan(1), all: scan(threads) }));
  const typical = (/** @type {'reader' | 'one' | 'all'} */ who, /** @type {'ms' | 'cpuMs'} */ what) =>
    median(runs.map((run) => run[who][what]));
  const speed = (/** @type {number} */ ms) => `${(bytes / ms / 1e6).toFixed(1)} GB/s`;
  const ratio = typical('reader', 'ms') / typical('all', 'ms');
  const ratioOfOne = typical('reader', 'ms') / typical('one', 'ms');
  const ofProcessor = typical('reader', 'cpuMs') / typical('one', 'cpuMs');
  const ofProcessors = (typical('reader', 'cpuMs') / typical('all', 'cpuMs')) * threads;
  const times = /** @type {const} */ (['reader', 'all', 'one']).map((who) => speed(typical(who, 'ms')));
  say(`${title}: ${ratio.toFixed(2)} with ${threads} threads, ${ratioOfOne.toFixed(2)} with one`);
  say(`  plain reading ${times[0]}, scan ${times[1]}, with one thread ${times[2]}`);
  say(
    `  by processor time ${ofProcessors.toFixed(2)} if ${threads} processors were free, ${ofProcessor.toFixed(2)} with one; load ${loadavg()[0]?.toFixed(1)}`,
  );
  return ratio;
}

/** The memory of a process, by the route that is used on a host. @param {string} title */
async function compareProcess(title) {
  const child = spawn(process.execPath, [self, '--hold'], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    const maps = readFileSync(`/proc/${child.pid}/maps`, 'utf8').matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw-p/gm);
    const starts = [...maps].flatMap(([, start = '', end = '']) => {
      const [from, to] = [Number.parseInt(start, 16), Number.parseInt(end, 16)];
      return to - from >= PROCESS_BYTES ? [to - PROCESS_BYTES] : [];
    });
    const [offset] = starts;
    if (offset === undefined) throw new Error('the memory of the process that holds it was not found');
    const file = `/proc/${child.pid}/mem`;
    const dd = 'dd if="$1" bs=128K iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none';
    return compareSpeed(
      title,
      PROCESS_BYTES,
      () => plain(dd, [file, String(offset), String(PROCESS_BYTES)]),
      (threads) => scanned(file, offset, PROCESS_BYTES, 1, threads),
    );
  } finally {
    child.kill();
  }
}

function holdHere() {
  const memory = Buffer.alloc(PROCESS_BYTES);
  for (let at = 0; at < memory.length; at += 16 * MiB) randomFillSync(memory, at, 16 * MiB);
  console.log('ready');
  process.stdin.once('end', () => process.exit(memory[0] === 256 ? 1 : 0)).resume();
}

function compareSizes(/** @type {string} */ random, /** @type {string} */ folder) {
  /** @type {[string, number, number][]} */
  const growth = [];
  for (const [title, peak] of /** @type {const} */ ([
    [
      'random',
      (/** @type {number} */ copies) =>
        copies === 0 ? scanned(random, 0, 256 * MiB, 1, 2) : scanned(random, 0, GiB, copies, 2),
    ],
    [
      'sparse',
      (/** @type {number} */ copies) => {
        const size = copies === 0 ? 256 * MiB : copies * GiB;
        const file = path.join(folder, `sparse-${size}`);
        closeSync(openSync(file, 'w'));
        truncateSync(file, size);
        return scanned(file, 0, size, 1, 2);
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

async function main() {
  const folder = mkdtempSync(path.join(tmpdir(), 'sevh-bench-'));
  try {
    const random = path.join(folder, 'random');
    const file = openSync(random, 'w');
    for (let at = 0; at < RANDOM_BYTES; at += 16 * MiB) writeSync(file, randomBytes(16 * MiB));
    fsyncSync(file);
    closeSync(file);
    const sparse = path.join(folder, 'sparse');
    closeSync(openSync(sparse, 'w'));
    truncateSync(sparse, RANDOM_BYTES);
    const besideCat = (/** @type {string} */ title, /** @type {string} */ name) => {
      const cat = () => plain('cat -- "$1"', [name]);
      cat();
      return compareSpeed(title, RANDOM_BYTES, cat, (threads) => scanned(name, 0, RANDOM_BYTES, 1, threads));
    };
    say(machine());
    const slowest = Math.min(
      besideCat('1 GiB of random bytes, of the speed of cat', random),
      besideCat('1 GiB of holes, of the speed of cat', sparse),
    );
    say(`goal ${SPEED_GOAL}: ${slowest >= SPEED_GOAL ? 'met' : 'missed'}`);
    await compareProcess(`${PROCESS_BYTES / MiB} MiB of random bytes in /proc/PID/mem, of the speed of dd`);
    const growth = compareSizes(random, folder);
    say(`goal ${GROWTH_GOAL}: ${growth <= GROWTH_GOAL ? 'met' : 'missed'}`);
    return slowest >= SPEED_GOAL && growth <= GROWTH_GOAL ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[2] === '--scan') await scanHere();
else if (process.argv[2] === '--hold') holdHere();
else process.exitCode = await main();
