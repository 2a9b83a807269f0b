#!/usr/bin/env node
// Throws random and mutated bytes at every parser and verifier of the attestation library. Run `npm run build` first.
// The RSA keys of the forged authority are new in each process: a seed repeats edits, and the printed bytes are the input.
// A refusal is a coded error or `false`; anything else thrown, and a changed input that a sealed target accepts, ends the run.
import { createHash, randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { measurementFuzzTargets } from '../dist/attestation/measurement/fuzz-targets.js';
import { snpFuzzTargets } from '../dist/attestation/snp/fuzz-targets.js';
import { fuzzTargets } from '../dist/attestation/testing/fuzz-targets.js';
import { isSevHarnessError } from '../dist/core/errors.js';
import { parseCpuSignature, parseDomainFacts } from '../dist/harness/cli/attest/domain-facts.js';

const FULL_RUNS = 100_000;
/** Each target gets this share of time in a short run, whatever it costs per input. */
const SHORT_MS = 150;
/** Of processor time: the machine may be busy with other things. */
const SLOW_INPUT_MS = 1000;
const MAX_RANDOM_BYTES = 4096;

const USAGE = `Usage: npm run fuzz -- [--short] [--runs N] [--seed N] [--target NAME]

  --short        a few seconds in all, for CI
  --runs N       inputs per target (default ${FULL_RUNS})
  --seed N       repeat a run: the seed is printed first
  --target NAME  only targets whose name contains this`;

const DOMAIN_XML = `<domain type='kvm'><name>web</name><os><loader>/OVMF.fd</loader><kernel>/k</kernel><cmdline>a&amp;b</cmdline>
<nvram/></os><launchSecurity type='sev' kernelHashes='yes'><dhCert>AAAA</dhCert><session>AAAA</session></launchSecurity></domain>`;

/** XML comes from the host that is to be verified. @type {import('../dist/attestation/testing/fuzz-targets.js').FuzzTarget} */
const domainXml = {
  name: 'domain-xml',
  seed: Buffer.from(DOMAIN_XML),
  sealed: false,
  run: (bytes) => {
    const text = Buffer.from(bytes).toString('utf8');
    parseDomainFacts(text);
    parseCpuSignature(text);
    return true;
  },
};

/** @param {string} text @param {string} flag */
function whole(text, flag) {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value < 2 ** 32) return value;
  throw new Error(`${flag}: expected a whole number, got '${text}'`);
}

function readFlags() {
  const { values } = parseArgs({
    options: {
      short: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      runs: { type: 'string' },
      seed: { type: 'string' },
      target: { type: 'string' },
    },
  });
  return {
    help: values.help === true,
    short: values.short === true,
    runs: values.runs === undefined ? FULL_RUNS : whole(values.runs, '--runs'),
    seed: values.seed === undefined ? randomInt(2 ** 32 - 1) : whole(values.seed, '--seed'),
    only: values.target ?? '',
  };
}

/** Small, fast and repeatable (xorshift32). @param {number} seed @returns {(below: number) => number} */
function generator(seed) {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % Math.max(below, 1);
  };
}

/** Numbers at which parsers break. */
const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** @typedef {(bytes: Uint8Array, next: (below: number) => number) => Uint8Array} Edit */
/** @type {Edit[]} */
const EDITS = [
  function flipBit(bytes, next) {
    const at = next(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8));
    return bytes;
  },
  function setByte(bytes, next) {
    bytes[next(bytes.length)] = next(256);
    return bytes;
  },
  function edgeNumber(bytes, next) {
    if (bytes.length < 4) return bytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const at = next(bytes.length - 3);
    const value = EDGES[next(EDGES.length)] ?? 0;
    if (next(2) === 0) view.setUint16(at, value & 0xffff, true);
    else view.setUint32(at, value, true);
    return bytes;
  },
  function cut(bytes, next) {
    return bytes.slice(0, next(bytes.length + 1));
  },
  function cutFront(bytes, next) {
    return bytes.slice(next(Math.min(bytes.length, 64) + 1));
  },
  function append(bytes, next) {
    const tail = Uint8Array.from({ length: 1 + next(64) }, () => next(256));
    return Buffer.concat([bytes, tail]);
  },
  function fill(bytes, next) {
    const at = next(bytes.length);
    return bytes.fill(next(2) === 0 ? 0 : next(256), at, at + 1 + next(600));
  },
  function copyWithin(bytes, next) {
    const [to, from] = [next(bytes.length), next(bytes.length)];
    return bytes.copyWithin(to, from, from + 1 + next(2084));
  },
  function double(bytes) {
    return bytes.length > 1 << 15 ? bytes : Buffer.concat([bytes, bytes]);
  },
];

/** @param {Uint8Array} seed @param {(below: number) => number} next */
function input(seed, next) {
  if (next(10) === 0) return Uint8Array.from({ length: next(MAX_RANDOM_BYTES) }, () => next(256));
  let bytes = Uint8Array.from(seed);
  for (let left = 1 + next(3); left > 0 && bytes.length > 0; left -= 1) {
    bytes = Uint8Array.from((EDITS[next(EDITS.length)] ?? ((same) => same))(bytes, next));
  }
  return bytes;
}

/** @param {import('../dist/attestation/testing/fuzz-targets.js').FuzzTarget} target @param {Uint8Array} bytes */
function outcome(target, bytes) {
  const started = process.cpuUsage();
  let taken;
  try {
    taken = target.run(bytes);
  } catch (error) {
    if (!isSevHarnessError(error)) return `threw ${error instanceof Error ? error.stack : String(error)}`;
    if (error.message.includes('\n')) return `threw ${error.code} with a text of several lines`;
    taken = false;
  }
  const spent = process.cpuUsage(started);
  const tookMs = (spent.user + spent.system) / 1000;
  if (tookMs > SLOW_INPUT_MS) return `took ${tookMs.toFixed(0)} ms of processor time`;
  if (target.sealed && taken && Buffer.compare(bytes, target.seed) !== 0) return 'accepted a changed input';
  return undefined;
}

/** @param {string} name @param {number} seed */
function seedOf(name, seed) {
  return createHash('sha256').update(`${seed}/${name}`).digest().readUInt32LE(0);
}

/** @param {string} text */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

/** @returns {number} exit code */
function fuzz() {
  const flags = readFlags();
  if (flags.help) {
    console.log(USAGE);
    return 0;
  }
  const all = [...fuzzTargets(), ...measurementFuzzTargets(), ...snpFuzzTargets(), domainXml];
  const targets = all.filter(({ name }) => name.includes(flags.only));
  if (targets.length === 0) throw new Error(`--target: no target has '${flags.only}' in its name`);
  console.log(
    `seed ${flags.seed}: ${targets.length} targets, ${flags.short ? `${SHORT_MS} ms` : `${flags.runs} inputs`} each`,
  );
  let total = 0;
  for (const [index, target] of targets.entries()) {
    const next = generator(seedOf(target.name, flags.seed));
    const [started, counts] = [performance.now(), { runs: 0 }];
    const going = () => (flags.short ? performance.now() - started < SHORT_MS : counts.runs < flags.runs);
    while (going()) {
      const bytes = input(target.seed, next);
      const copy = Uint8Array.from(bytes);
      const wrong = outcome(target, bytes) ?? (Buffer.compare(bytes, copy) === 0 ? undefined : 'changed its input');
      counts.runs += 1;
      if (wrong !== undefined) {
        console.error(`\n${target.name}: input ${counts.runs} of seed ${flags.seed} ${wrong}`);
        console.error(`  ${copy.length} bytes: ${Buffer.from(copy).toString('hex')}`);
        console.error(`  again: npm run fuzz -- --seed ${flags.seed} --target ${target.name} --runs ${counts.runs}`);
        return 1;
      }
      if (counts.runs % 500 === 0) progress(`${index + 1}/${targets.length} ${target.name} ${counts.runs}`);
    }
    total += counts.runs;
    progress('');
    console.log(
      `ok  ${target.name.padEnd(28)} ${String(counts.runs).padStart(8)} inputs  ${((performance.now() - started) / 1000).toFixed(1)} s`,
    );
  }
  console.log(`${total} inputs, 0 crashes, 0 hangs, 0 changed inputs accepted`);
  return 0;
}

try {
  process.exitCode = fuzz();
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
  process.exitCode = 3;
}
