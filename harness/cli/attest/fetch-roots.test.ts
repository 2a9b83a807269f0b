import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PinnedRoot } from '../../../attestation/certs/products.ts';
import { rsaSpkiSha256Hex } from '../../../attestation/certs/rsa-pss.ts';
import { encodeSevCertificate } from '../../../attestation/certs/sev-certificate.ts';
import { type ForgedPlatform, forgePlatform } from '../../../attestation/testing/platform.ts';
import { isSevHarnessError, type SevHarnessError } from '../../../core/errors.ts';
import { exitCodeOf } from '../output.ts';
import { downloadFile } from './download.ts';
import { fetchRootsVerb } from './fetch-roots.ts';
import { parseFlags } from './flags.ts';
import { closedIo } from './testing/run-attest.ts';

let root: string;
let platform: ForgedPlatform;
let server: Server;
let origin: string;
/** What the server answers by path: bytes, or a status. */
const answers = new Map<string, Uint8Array | number>();
const asked: string[] = [];
let cache: string;
let count = 0;

const CHIP = '5a'.repeat(64);
const ROOTS_PATH = '/wp-content/resources/ask_ark_milan.cert';
const CEK_PATH = `/cek/id/${CHIP.toUpperCase()}`;

beforeAll(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'sevh-attest-roots-'));
  platform = forgePlatform();
  server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const answer = answers.get(request.url ?? '') ?? 404;
    response.writeHead(typeof answer === 'number' ? answer : 200);
    response.end(typeof answer === 'number' ? '' : answer);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  rmSync(root, { recursive: true, force: true });
});
beforeEach(() => {
  answers.clear();
  asked.length = 0;
  answers.set(ROOTS_PATH, platform.files.askArk);
  answers.set(CEK_PATH, encodeSevCertificate(platform.chain.cek));
  cache = path.join(root, `cache-${count++}`);
});

const pins = (): PinnedRoot[] => [
  {
    product: 'milan',
    arkSpkiSha256Hex: rsaSpkiSha256Hex(platform.chain.ark),
    askSpkiSha256Hex: rsaSpkiSha256Hex(platform.chain.ask),
    url: `https://developer.amd.com${ROOTS_PATH}`,
    source: 'a forged platform',
    date: '2026-11-23',
  },
];

const FLAGS = ['product', 'chip-id', 'out'].map((name) => ({ name, value: 'X', help: '' }));
const SWITCHES = ['json', 'refresh'].map((name) => ({ name, help: '' }));

/** Runs the verb against the local server, which stands for both of AMD's. */
async function fetchRoots(words: readonly string[], usePins = pins()) {
  const out: string[] = [];
  const io = closedIo({
    out: (text) => out.push(text),
    env: { XDG_CACHE_HOME: cache },
    download: (url) => downloadFile(url.replace(/^https:\/\/[a-z]+\.amd\.com/, origin), 2000),
  });
  const args = parseFlags(words, [{ title: '', flags: [...FLAGS, ...SWITCHES] }], 0);
  let error: SevHarnessError | undefined;
  let code: number;
  try {
    code = await fetchRootsVerb(args, io, usePins);
  } catch (thrown) {
    if (!isSevHarnessError(thrown)) throw thrown;
    [code, error] = [exitCodeOf(thrown), thrown];
  }
  return { code, error, out: out.join('') };
}

const file = () => path.join(cache, 'sev-harness', 'ask_ark_milan.cert');

describe('a file whose keys are pinned', () => {
  it('is written to the cache, and not asked for again', async () => {
    const first = await fetchRoots(['--product', 'milan']);
    expect([first.code, first.error]).toEqual([0, undefined]);
    expect(first.out).toContain(file());
    expect(new Uint8Array(readFileSync(file()))).toEqual(new Uint8Array(platform.files.askArk));
    expect((await fetchRoots(['--product', 'milan'])).out).toContain('(cache, verified)');
    expect(asked).toEqual([ROOTS_PATH]);
    await fetchRoots(['--product', 'milan', '--refresh']);
    expect(asked).toEqual([ROOTS_PATH, ROOTS_PATH]);
  });

  it('is asked for again when the cached one is damaged', async () => {
    await fetchRoots(['--product', 'milan']);
    writeFileSync(file(), Buffer.from(platform.files.askArk).fill(0, 0, 4));
    expect((await fetchRoots(['--product', 'milan'])).code).toBe(0);
    expect(asked).toHaveLength(2);
    expect(new Uint8Array(readFileSync(file()))).toEqual(new Uint8Array(platform.files.askArk));
  });

  it('is written where --out says', async () => {
    const out = path.join(root, 'elsewhere');
    expect((await fetchRoots(['--product', 'milan', '--out', out])).code).toBe(0);
    expect(readdirSync(out)).toEqual(['ask_ark_milan.cert']);
  });

  it("comes with a chip's CEK that the ASK signed", async () => {
    const { code, out } = await fetchRoots(['--product', 'milan', '--chip-id', CHIP, '--json']);
    expect(code).toBe(0);
    const files = (JSON.parse(out).files as { path: string }[]).map((entry) => path.basename(entry.path));
    expect(files).toEqual(['ask_ark_milan.cert', `cek_${CHIP.slice(0, 16)}.cert`]);
    expect(asked).toEqual([ROOTS_PATH, CEK_PATH]);
  });
});

describe('nothing is written', () => {
  const cutShort = () => platform.files.askArk.subarray(0, 1663);
  const flipped = (at: number) => {
    const copy = Uint8Array.from(platform.files.askArk);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };

  it.each<[string, () => Uint8Array | number, number, string, RegExp]>([
    ['for a file cut short', cutShort, 1, 'ATTEST_ROOTS_REFUSED', /nothing was written/],
    ['for a changed ASK key', () => flipped(0x140), 1, 'ATTEST_ROOTS_REFUSED', /its ASK has fingerprint/],
    ['for a changed ASK id', () => flipped(0x04), 1, 'ATTEST_ROOTS_REFUSED', /chain\.ask-signed-by-ark/],
    [
      'for a web page',
      () => Buffer.from('<html>log in first</html>'),
      1,
      'ATTEST_ROOTS_REFUSED',
      /not what AMD published/,
    ],
    ['for an answer without end', () => new Uint8Array(1 << 20), 2, 'ATTEST_DOWNLOAD', /longer than 65536 bytes/],
    ['when the server refuses', () => 429, 2, 'ATTEST_DOWNLOAD', /the server answered 429/],
  ])('%s', async (_, answer, code, errorCode, message) => {
    answers.set(ROOTS_PATH, answer());
    const ran = await fetchRoots(['--product', 'milan']);
    expect([ran.code, ran.error?.code]).toEqual([code, errorCode]);
    expect(ran.error?.message).toMatch(message);
    expect(ran.error?.message).not.toContain('\n');
    expect(existsSync(file())).toBe(false);
  });

  it('for the keys of another authority', async () => {
    const others = pins().map((pin) => ({ ...pin, arkSpkiSha256Hex: 'ab'.repeat(32) }));
    const { code, error } = await fetchRoots(['--product', 'milan'], others);
    expect([code, error?.code]).toEqual([1, 'ATTEST_ROOTS_REFUSED']);
    expect(error?.message).toMatch(/its ARK has fingerprint .* pinned is abab/);
    expect(existsSync(file())).toBe(false);
  });

  it("for a CEK that another authority's ASK signed", async () => {
    answers.set(CEK_PATH, encodeSevCertificate(forgePlatform({ defect: 'cek-signed-by-wrong-ask' }).chain.cek));
    const { code, error } = await fetchRoots(['--product', 'milan', '--chip-id', CHIP]);
    expect([code, error?.code]).toEqual([1, 'ATTEST_ROOTS_REFUSED']);
    expect(readdirSync(path.dirname(file()))).toEqual(['ask_ark_milan.cert']);
  });
});

it('says in one line that nobody answers, and what to do', async () => {
  const error = await downloadFile('http://127.0.0.1:9/ask_ark_milan.cert', 2000).catch((thrown: unknown) => thrown);
  expect(isSevHarnessError(error, 'ATTEST_DOWNLOAD')).toBe(true);
  expect((error as SevHarnessError).message).toMatch(
    /^cannot download http:\/\/127\.0\.0\.1:9\/ask_ark_milan\.cert: .+$/,
  );
});

it.each([[[]], [['--product', 'zen9']], [['--product', 'milan', '--chip-id', 'xyz']]])(
  '%j is a usage error',
  async (words) => {
    expect((await fetchRoots(words)).code).toBe(3);
    expect(asked).toEqual([]);
  },
);
