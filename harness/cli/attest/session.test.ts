import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openLaunchSession } from '../../../attestation/session/launch-session.ts';
import { fromBase64 } from '../../../core/bytes.ts';
import { type ForgedCase, forgeCase } from './testing/forged-case.ts';
import { runAttest } from './testing/run-attest.ts';

let root: string;
let forged: ForgedCase;
let count = 0;

beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), 'sevh-attest-session-'));
  forged = forgeCase(path.join(root, 'case'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const freshFolder = () => path.join(root, `out-${count++}`);
const platform = () => [
  ...['--pdh', forged.path('pdh.b64'), '--chain', forged.path('chain.b64'), '--cek', forged.path('cek.cert')],
  ...['--ask-ark', forged.path('ask_ark.cert'), '--trusted-root', forged.path('root.cert')],
];
const session = (out: string, ...more: string[]) =>
  runAttest(['session', ...platform(), '--policy', '0x0005', '--name', 'web', '--out', out, ...more]);

const NAMES = ['web_godh.b64', 'web_session.b64', 'web_tek.bin', 'web_tik.bin'];

describe('a session for a platform that verifies', () => {
  it('is four files, which the firmware of that platform opens to the same keys', async () => {
    const out = freshFolder();
    const { code, out: text } = await session(out);
    expect(code).toBe(0);
    expect(text).toContain('Session for policy 0x0005 NODBG ES');
    expect(readdirSync(out).sort()).toEqual(NAMES);
    const read = (name: string) => readFileSync(path.join(out, name));
    const keys = openLaunchSession({
      godh: fromBase64(read('web_godh.b64').toString()) ?? new Uint8Array(),
      session: fromBase64(read('web_session.b64').toString()) ?? new Uint8Array(),
      pdhPrivateKey: forged.platform.privateKeys.pdh,
      policy: 5,
    });
    expect(Buffer.from(keys.tik.reveal())).toEqual(read('web_tik.bin'));
    expect(Buffer.from(keys.tek.reveal())).toEqual(read('web_tek.bin'));
  });

  it('keeps the keys to their owner', async () => {
    const out = freshFolder();
    await session(out);
    for (const name of ['web_tik.bin', 'web_tek.bin']) {
      expect((statSync(path.join(out, name)).mode & 0o777).toString(8), name).toBe('600');
    }
  });

  it('takes the files that sevctl makes: one whole export', async () => {
    const words = ['--chain', forged.path('export.cert'), '--pdh', forged.path('pdh.b64')];
    const out = freshFolder();
    const trust = ['--trusted-root', forged.path('root.cert')];
    const { code } = await runAttest(['session', ...words, ...trust, '--policy', '1', '--name', 'w', '--out', out]);
    expect(code).toBe(0);
  });
});

describe('files that are there already', () => {
  it.each(NAMES)('%s is not overwritten, and nothing else is written', async (name) => {
    const out = freshFolder();
    await session(out);
    for (const other of NAMES) if (other !== name) rmSync(path.join(out, other));
    const before = readFileSync(path.join(out, name));
    const { code, error } = await session(out);
    expect([code, error?.code]).toEqual([3, 'ATTEST_OUTPUT_EXISTS']);
    expect(readdirSync(out)).toEqual([name]);
    expect(readFileSync(path.join(out, name))).toEqual(before);
  });

  it('a link that leads elsewhere is not followed', async () => {
    const out = freshFolder();
    await session(out);
    rmSync(path.join(out, 'web_tik.bin'));
    const target = path.join(root, 'elsewhere');
    symlinkSync(target, path.join(out, 'web_tik.bin'));
    for (const other of NAMES) if (other !== 'web_tik.bin') rmSync(path.join(out, other));
    expect((await session(out)).error?.code).toBe('ATTEST_OUTPUT_EXISTS');
    expect(readdirSync(out)).toEqual(['web_tik.bin']);
    expect(readdirSync(root)).not.toContain('elsewhere');
  });
});

it('leaves no file behind where the folder cannot be written', async () => {
  const file = path.join(root, 'a-file');
  writeFileSync(file, '');
  const { code, error } = await session(path.join(file, 'deeper'));
  expect([code, error?.code]).toEqual([2, 'ATTEST_OUTPUT_UNWRITABLE']);
  expect(error?.message).not.toContain('\n');
  if (process.getuid?.() === 0) return;
  const out = freshFolder();
  await session(out, '--insecure');
  for (const name of NAMES) rmSync(path.join(out, name));
  chmodSync(out, 0o500);
  expect((await session(out)).error?.code).toBe('ATTEST_OUTPUT_UNWRITABLE');
  expect(readdirSync(out)).toEqual([]);
});

describe('a platform that does not verify', () => {
  const unsigned = () => ['--pdh', forged.path('pdh.b64'), '--chain', forged.path('chain.b64')];

  it('gets no session', async () => {
    const out = freshFolder();
    const { code, error } = await runAttest(['session', ...unsigned(), '--policy', '1', '--name', 'w', '--out', out]);
    expect([code, error?.code]).toEqual([1, 'SESSION_CHAIN_UNVERIFIED']);
    expect(error?.hint).toBeDefined();
  });

  it('gets one with --insecure, and a warning', async () => {
    const out = freshFolder();
    const words = ['session', ...unsigned(), '--policy', '1', '--name', 'w', '--out', out, '--insecure', '--json'];
    const { code, err, out: text } = await runAttest(words);
    expect(code).toBe(0);
    expect(err).toContain('warning: the platform is unverified (incomplete)');
    expect(JSON.parse(text)).toMatchObject({ ok: true, verdict: 'incomplete', policy: '0x0001 NODBG' });
  });
});

it.each<[string, string[]]>([
  ['a name with a folder in it', ['--name', '../web']],
  ['a hidden name', ['--name', '.web']],
  ['no name', []],
  ['a policy with reserved bits', ['--name', 'w', '--policy', '0x40']],
  ['a policy that is negative', ['--name', 'w', '--policy=-1']],
  ['a policy that is too large', ['--name', 'w', '--policy', '0x100000000']],
  ['a policy in octal', ['--name', 'w', '--policy', '033']],
])('%s is a usage error, and nothing is written', async (_, words) => {
  const out = freshFolder();
  const policy = words.some((word) => word.startsWith('--policy')) ? [] : ['--policy', '1'];
  const { code } = await runAttest(['session', ...platform(), '--out', out, ...policy, ...words]);
  expect(code).toBe(3);
  expect(() => readdirSync(out)).toThrow();
});
