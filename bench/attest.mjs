#!/usr/bin/env node
// What `attest` costs: whole process beside virt-qemu-sev-validate on the same words, ES digest beside sev-snp-measure where it
// is on the machine, and verifications per second beside the same OpenSSL primitives. Prints ratios: absolute times belong to the
// machine. Run `npm run build` first, and on a quiet machine: the processes take turns and the best of each counts.
import { spawnSync } from 'node:child_process';
import { constants, createHmac, createPublicKey, randomBytes, verify } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { signedCaBytes } from '../dist/attestation/certs/amd-ca.js';
import { p384Spki } from '../dist/attestation/certs/p384.js';
import { signedBytes } from '../dist/attestation/certs/sev-certificate.js';
import {
  computeLaunchDigest,
  createLaunchSession,
  verifyChain,
  verifyLaunch,
  verifyRoots,
} from '../dist/attestation/index.js';
import { forgePlatform } from '../dist/attestation/testing/platform.js';
import { forgeCase } from '../dist/harness/cli/attest/testing/forged-case.js';

const ROUNDS = 15;
const PROCESS_GOAL = 3;
const OVERHEAD_GOAL = 1.5;
const SAMPLE_MS = 400;
const SAMPLES = 7;
const STOCK = '/usr/bin/virt-qemu-sev-validate';
const PYTHON = '/usr/bin/python3';
const OVMF = '/usr/share/ovmf/OVMF.fd';
const main = fileURLToPath(new URL('../dist/harness/cli/main.cjs', import.meta.url));
/** Extra certificate authorities are parsed by every Node process before it begins; no Python tool does that. */
const { NODE_EXTRA_CA_CERTS: _ignored, ...inherited } = process.env;
/** As installed: only a checkout looks for newer sources first. */
const environment = { ...inherited, SEV_HARNESS_REBUILT: '1' };
/** Reads and hashes the guest firmware, and nothing else. */
const HASH_ONLY =
  "require('node:crypto').createHash('sha256').update(require('node:fs').readFileSync(process.argv[1])).digest()";

/** @param {string} text */
const say = (text) => console.log(text);
/** @param {number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Best and median wall time of each command, in turns. @param {Record<string, string[]>} commands */
function race(commands) {
  /** @type {Record<string, number[]>} */
  const times = Object.fromEntries(Object.keys(commands).map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, [program = '', ...words]] of Object.entries(commands)) {
      const started = performance.now();
      const { status } = spawnSync(program, words, { stdio: 'ignore', env: environment });
      if (status !== 0) throw new Error(`${name} ended with ${status}`);
      times[name]?.push(performance.now() - started);
    }
  }
  return Object.fromEntries(
    Object.entries(times).map(([name, values]) => [name, { best: Math.min(...values), middle: median(values) }]),
  );
}

/** @param {ReturnType<typeof race>} results @param {string} slow @param {string} fast */
function ratio(results, slow, fast) {
  const [a, b] = [results[slow], results[fast]];
  if (a === undefined || b === undefined) throw new Error(`no result of ${slow} or ${fast}`);
  return { best: a.best / b.best, middle: a.middle / b.middle };
}

/** @param {string} folder */
function wholeProcess(folder) {
  const forged = forgeCase(folder);
  const guestFirmware = existsSync(OVMF) ? readFileSync(OVMF) : forged.guestFirmware;
  const firmware = path.join(folder, 'bench.fd');
  writeFileSync(firmware, guestFirmware);
  const vcpus = /** @type {const} */ ({ kind: 'built', count: 4, cpuSignature: 0xa00f11, form: 'legacy' });
  const esWords = ['--num-cpus', '4', '--cpu-family', '25', '--cpu-model', '1', '--cpu-stepping', '1'];
  for (const [title, launch, more] of /** @type {const} */ ([
    ['SEV', { policy: 1 }, []],
    ['SEV-ES, 4 vCPUs', { policy: 5, vcpus }, esWords],
  ])) {
    const words = launchWords(forged, folder, firmware, { ...launch, guestFirmware });
    /** @type {Record<string, string[]>} */
    const commands = {
      ours: [process.execPath, main, 'attest', 'verify', '--quiet', ...words, ...more],
      'Node, only hashing': [process.execPath, '-e', HASH_ONLY, firmware],
    };
    if (existsSync(STOCK)) {
      commands.stock = [PYTHON, STOCK, '--quiet', ...words, ...more];
      commands['stock --help'] = [PYTHON, STOCK, '--help'];
    }
    const results = race(commands);
    say(`\nverify, whole process, ${title} (${(guestFirmware.length / 1024).toFixed(0)} KiB of firmware):`);
    for (const [name, { best, middle }] of Object.entries(results)) {
      say(`  ${name.padEnd(20)} ${best.toFixed(0).padStart(5)} ms at best, ${middle.toFixed(0)} ms in the middle`);
    }
    if (!existsSync(STOCK)) {
      say(`  ${STOCK} is not on this machine: no ratio`);
      continue;
    }
    const whole = ratio(results, 'stock', 'ours');
    const floor = ratio(results, 'stock', 'Node, only hashing');
    say(
      `  stock / ours: ${whole.best.toFixed(2)} at best, ${whole.middle.toFixed(2)} in the middle (${judge(whole.best >= PROCESS_GOAL)} of ${PROCESS_GOAL})`,
    );
    say(
      `  stock / a Node process that only hashes the firmware: ${floor.best.toFixed(2)}, the most that a Node program can reach (docs/decisions/0005-attest-start-up.md)`,
    );
  }
}

/**
 * @param {import('../dist/harness/cli/attest/testing/forged-case.js').ForgedCase} forged
 * @param {string} folder @param {string} firmware
 * @param {import('../dist/harness/cli/attest/testing/forged-case.js').ForgedLaunch} launch
 */
function launchWords(forged, folder, firmware, launch) {
  const { chain, verification } = forged.platform;
  const session = createLaunchSession({ platform: chain, verification, policy: launch.policy, random: randomBytes });
  const tik = path.join(folder, `tik${launch.policy}`);
  const tek = path.join(folder, `tek${launch.policy}`);
  writeFileSync(tik, session.tik.reveal(), { mode: 0o600 });
  writeFileSync(tek, session.tek.reveal(), { mode: 0o600 });
  const base64 = (/** @type {Uint8Array} */ bytes) => Buffer.from(bytes).toString('base64');
  const measurement = forged.launch({ godh: base64(session.godh), session: base64(session.session) }, launch);
  const { apiMajor, apiMinor, buildId } = forged.sevFirmware;
  return [
    ...['--measurement', measurement, '--api-major', apiMajor, '--api-minor', apiMinor, '--build-id', buildId],
    ...['--policy', launch.policy, '--firmware', firmware, '--tik', tik, '--tek', tek],
  ].map(String);
}

/** The Python measuring tool as it may be installed: its command, its script, or its module alone. */
const MEASURING_TOOLS = [
  ['sev-snp-measure'],
  ['sev-snp-measure.py'],
  ['python3', '-m', 'sevsnpmeasure.cli'],
  [PYTHON, '-m', 'sevsnpmeasure.cli'],
];

/** Standard output of a command that must succeed. @param {string[]} command */
function answerOf([program = '', ...words]) {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', env: environment });
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr}`);
  return stdout;
}

/** @param {string} folder */
function digestBesidePython(folder) {
  const tool = MEASURING_TOOLS.find(
    ([program = '', ...words]) => spawnSync(program, [...words, '--version'], { stdio: 'ignore' }).status === 0,
  );
  say('\ndigest of a SEV-ES guest with kernel hashes, whole process:');
  if (tool === undefined) {
    say('  neither sev-snp-measure nor its Python module sevsnpmeasure is on this machine: not compared');
    return;
  }
  const files = ['OVMF.fd', 'vmlinuz', 'initrd.img'].map((name) => path.join(folder, name));
  const [firmware = '', kernel = '', initrd = ''] = files;
  const commands = {
    ours: [
      ...[process.execPath, main, 'attest', 'digest', '--firmware', firmware, '--kernel', kernel, '--initrd', initrd],
      ...['--cmdline', 'quiet', '-n', '4', '--cpu-family', '25', '--cpu-model', '1', '--cpu-stepping', '1'],
    ],
    python: [
      ...[...tool, '--mode', 'seves', '--vcpus', '4', '--vcpu-type', 'EPYC-Milan', '--ovmf', firmware],
      ...['--kernel', kernel, '--initrd', initrd, '--append', 'quiet'],
    ],
  };
  const digest = answerOf(commands.python).trim();
  if (!/^[0-9a-f]{64}$/.test(digest) || !answerOf(commands.ours).includes(digest)) {
    throw new Error(`sev-snp-measure says ${digest}, and attest digest another: there is nothing to compare`);
  }
  const results = race(commands);
  const whole = ratio(results, 'python', 'ours');
  say(`  python / ours: ${whole.best.toFixed(2)} at best, ${whole.middle.toFixed(2)} in the middle`);
}

/** Operations per second of processor time; samples take turns, so that a busy machine is busy for all of them. @param {Record<string, () => void>} operations */
function rate(operations) {
  const names = Object.keys(operations);
  /** @type {Map<string, number[]>} */
  const samples = new Map(names.map((name) => [name, []]));
  for (let sample = 0; sample <= SAMPLES; sample += 1) {
    for (const name of names) {
      const operation = operations[name] ?? (() => {});
      const started = process.cpuUsage();
      let [count, spentMs] = [0, 0];
      while (spentMs < SAMPLE_MS) {
        operation();
        count += 1;
        const { user, system } = process.cpuUsage(started);
        spentMs = (user + system) / 1000;
      }
      // The first round warms up.
      if (sample > 0) samples.get(name)?.push((count * 1000) / spentMs);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(samples.get(name) ?? [])]));
}

function inProcess() {
  const { chain, verification } = forgePlatform({ caKeyBits: 4096 });
  const session = createLaunchSession({ platform: chain, verification, policy: 1, random: randomBytes });
  const digest = computeLaunchDigest({ guestFirmware: randomBytes(1 << 16) });
  const context = { apiMajor: 1, apiMinor: 55, buildId: 21, policy: 1 };
  const nonce = randomBytes(16);
  const hmac = () =>
    createHmac('sha256', session.tik.reveal())
      .update(Uint8Array.of(4, 1, 55, 21, 1, 0, 0, 0))
      .update(digest)
      .update(nonce)
      .digest();
  const measurement = Buffer.concat([hmac(), nonce]);

  const roots = verifyRoots(chain, verification);
  const { pdh, pek, oca, cek, ask, ark } = chain;
  const launch = () => verifyLaunch({ measurement, context, digest, tik: session.tik }).ok;
  const cached = () => {
    if (!verifyChain({ pdh, pek, oca, cek }, { roots }).ok || !launch()) throw new Error('it must verify');
  };
  const whole = () => {
    if (!verifyChain(chain, verification).ok || !launch()) throw new Error('it must verify');
  };

  const ecdsa = /** @type {const} */ ([
    [oca, oca, 'OCA'],
    [pek, oca, 'OCA'],
    [pek, cek, 'CEK'],
    [pdh, pek, 'PEK'],
  ]).map(([certificate, signer, name]) => {
    const slot = certificate.slots.find((candidate) => candidate?.signer === name);
    if (slot === undefined || 'field' in slot) throw new Error('an ECDSA signature is missing');
    return {
      spki: Buffer.from(p384Spki(signer.publicKey)),
      message: signedBytes(certificate),
      signature: Buffer.concat([slot.r, slot.s]),
    };
  });
  const ecdsaPrimitives = () => {
    for (const { spki, message, signature } of ecdsa) {
      const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
      if (!verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature)) throw new Error('it must verify');
    }
    hmac();
  };
  const cekSlot = cek.slots[0];
  if (cekSlot === undefined || !('field' in cekSlot)) throw new Error('the RSA signature is missing');
  const rsa = [
    { signer: ark, message: signedCaBytes(ark), signature: ark.signature },
    { signer: ark, message: signedCaBytes(ask), signature: ask.signature },
    { signer: ask, message: signedBytes(cek), signature: cekSlot.field },
  ];
  const rsaPrimitives = () => {
    for (const { signer, message, signature } of rsa) {
      const n = Buffer.from(signer.modulus).toString('base64url');
      const key = createPublicKey({ key: { kty: 'RSA', n, e: 'AQAB' }, format: 'jwk' });
      const options = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 };
      if (!verify('sha384', message, options, signature)) throw new Error('it must verify');
    }
  };
  const everyPrimitive = () => {
    rsaPrimitives();
    ecdsaPrimitives();
  };

  say('\nverifications per second in one process (chain of 4096-bit roots, and measurement):');
  const names = /** @type {const} */ ({
    cached: 'chain cached',
    cachedRaw: 'the same primitives, chain cached',
    whole: 'whole chain',
    wholeRaw: 'the same primitives, whole chain',
    launch: 'measurement only',
    hmac: 'HMAC only',
  });
  const rates = rate({
    [names.cached]: cached,
    [names.cachedRaw]: ecdsaPrimitives,
    [names.whole]: whole,
    [names.wholeRaw]: everyPrimitive,
    [names.launch]: () => void launch(),
    [names.hmac]: () => void hmac(),
  });
  const of = (/** @type {keyof typeof names} */ key) => rates[names[key]] ?? Number.NaN;
  for (const [name, perSecond] of Object.entries(rates))
    say(`  ${name.padEnd(34)} ${perSecond.toFixed(0).padStart(8)}`);
  const overhead = of('cachedRaw') / of('cached');
  say(
    `  library / primitives, chain cached: ${overhead.toFixed(2)} (${judge(overhead < OVERHEAD_GOAL)} of under ${OVERHEAD_GOAL})`,
  );
  const uncached = of('wholeRaw') / of('whole');
  const forgeMs = 1000 / of('whole') - 1000 / of('cached');
  say(`  library / primitives, whole chain: ${uncached.toFixed(2)}`);
  say(
    `  node-forge's three RSA-PSS in JavaScript: ${forgeMs.toFixed(1)} ms once per chain, ${((forgeMs * of('cached')) / 1000).toFixed(0)} times a cached verification`,
  );
}

/** @param {boolean} reached */
const judge = (reached) => (reached ? 'reaches the goal' : 'MISSES the goal');

say(`Node ${process.version}, OpenSSL ${process.versions.openssl}`);
const folder = mkdtempSync(path.join(tmpdir(), 'sevh-bench-attest-'));
try {
  wholeProcess(folder);
  digestBesidePython(folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
inProcess();
