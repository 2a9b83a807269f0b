import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toBase64, toHex } from '../../../core/bytes.ts';
import { type ForgedCase, forgeCase } from './testing/forged-case.ts';
import { type Ran, runAttest } from './testing/run-attest.ts';

let root: string;
let forged: ForgedCase;
let measurement: string;
let planted: readonly Uint8Array[];

beforeAll(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'sevh-attest-leaks-'));
  forged = forgeCase(path.join(root, 'case'));
  const words = ['--pdh', forged.path('pdh.b64'), '--policy', '1', '--name', 'web', '--out', forged.folder];
  await runAttest(['session', ...words, '--insecure']);
  const read = (name: string) => readFileSync(forged.path(name));
  measurement = forged.launch(
    { godh: read('web_godh.b64').toString(), session: read('web_session.b64').toString() },
    { policy: 1 },
  );
  writeFileSync(forged.path('long_tik.bin'), Buffer.concat([read('web_tik.bin'), Buffer.of(1)]));
  writeFileSync(forged.path('tk.bin'), Buffer.concat([read('web_tek.bin'), read('web_tik.bin')]));
  planted = ['web_tik.bin', 'web_tek.bin', 'passphrase.txt'].map((name) => new Uint8Array(read(name)));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Every way in which six bytes in a row of a secret could be written. */
function spellings(secret: Uint8Array): string[] {
  const windows = Array.from({ length: secret.length - 5 }, (_, start) => secret.slice(start, start + 6));
  return windows.flatMap((window) => [
    toHex(window),
    toHex(window).toUpperCase(),
    toHex(window).replace(/(..)(?=.)/g, '$1 '),
    toHex(window).replace(/(..)(?=.)/g, '$1:'),
    toBase64(window),
    toBase64(window).replaceAll('+', '-').replaceAll('/', '_'),
    Buffer.from(window).toString('latin1'),
    Buffer.from(window).toString('utf8'),
    [...window].join(','),
    [...window].join(', '),
  ]);
}

function leaks(text: string): string[] {
  return planted.flatMap(spellings).filter((spelling) => text.includes(spelling));
}

/** All that reaches a terminal, a file or a log, and more. */
function everything({ out, err, error }: Ran): string {
  return [out, err, inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true }), JSON.stringify(error)].join(
    '\n',
  );
}

const keys = (tik = 'web_tik.bin') => ['--tik', forged.path(tik), '--tek', forged.path('web_tek.bin')];
const launch = (more: Record<string, string> = {}) =>
  Object.entries({
    measurement,
    'api-major': '1',
    'api-minor': '55',
    'build-id': '21',
    policy: '1',
    firmware: forged.path('OVMF.fd'),
    ...more,
  }).map(([name, value]) => `--${name}=${value}`);
const packet = () => ['--secret-header', path.join(root, 'h'), '--secret-payload', path.join(root, 'p')];
const secret = () => ['-s', `luks-key:${forged.path('passphrase.txt')}`];
const session = (name: string) => [
  ...[
    'session',
    '--pdh',
    forged.path('pdh.b64'),
    '--policy',
    '1',
    '--name',
    name,
    '--out',
    forged.folder,
    '--insecure',
  ],
];

it('the search itself finds what it looks for', () => {
  for (const bytes of planted) {
    for (const spelt of [toHex(bytes), toBase64(bytes), Buffer.from(bytes).toString('latin1'), [...bytes].join(', ')]) {
      expect(leaks(`somewhere ${spelt} in a line`).length).toBeGreaterThan(0);
    }
  }
});

describe('no output of any verb holds a part of a key or of a secret', () => {
  it.each<[string, () => string[]]>([
    ['a session', () => session('fresh')],
    ['a session that exists already', () => session('web')],
    ['a digest of the key file', () => ['digest', '--firmware', forged.path('web_tik.bin')]],
    ['a launch that verifies', () => ['verify', ...launch(), ...keys()]],
    ['a launch that does not', () => ['verify', ...launch({ 'build-id': '1' }), ...keys()]],
    [
      'keys that are swapped',
      () => ['verify', ...launch(), '--tik', forged.path('web_tek.bin'), '--tek', forged.path('web_tik.bin')],
    ],
    ['a key of 17 bytes', () => ['verify', ...launch(), ...keys('long_tik.bin')]],
    ['both keys in one file', () => ['verify', ...launch(), '--tk', forged.path('tk.bin')]],
    ['both keys in place of one', () => ['verify', ...launch(), ...keys('tk.bin')]],
    ['a key as session', () => ['verify', ...launch(), ...keys(), '--session', forged.path('web_tik.bin')]],
    ['a key as certificate', () => ['chain', '--pdh', forged.path('web_tik.bin')]],
    ['a key as VMSA page', () => ['verify', ...launch({ policy: '5' }), '-n', '1', '-0', forged.path('web_tik.bin')]],
    ['an explanation', () => ['explain', ...launch({ 'build-id': '1' }), ...keys(), '--max-candidates', '3000']],
    [
      'an explanation of swapped keys',
      () => ['explain', ...launch(), '--tik', forged.path('web_tek.bin'), '--tek', forged.path('web_tik.bin')],
    ],
    ['a secret', () => ['secret', ...launch(), ...keys(), ...packet(), ...secret()]],
    [
      'a secret that is not given out',
      () => ['secret', ...launch({ 'build-id': '1' }), ...keys(), ...packet(), ...secret()],
    ],
    ['a secret that is opened', () => ['secret', '--open', '--measurement', measurement, ...keys(), ...packet()]],
    [
      'a secret opened with the wrong TEK',
      () => [
        'secret',
        '--open',
        '--measurement',
        measurement,
        '--tik',
        forged.path('web_tik.bin'),
        '--tek',
        forged.path('web_tik.bin'),
        ...packet(),
      ],
    ],
    ['a pass phrase as key', () => ['verify', ...launch(), '--tik', forged.path('passphrase.txt')]],
    [
      'a pass phrase as packet',
      () => [
        'secret',
        '--open',
        '--measurement',
        measurement,
        ...keys(),
        '--secret-header',
        forged.path('passphrase.txt'),
        '--secret-payload',
        forged.path('passphrase.txt'),
      ],
    ],
    ['a policy', () => ['policy', '1']],
    ['roots', () => ['fetch-roots', '--product', 'zen9']],
  ])('%s', async (name, words) => {
    for (const json of [[], ['--json']]) {
      const again = name === 'a session' && json.length > 0 ? session('fresh-json') : words();
      const ran = await runAttest([...again, ...json]);
      expect(everything(ran).length).toBeGreaterThan(10);
      expect(leaks(everything(ran))).toEqual([]);
    }
  });

  it('nor do the packet files', () => {
    const files = ['h', 'p'].map((name) => readFileSync(path.join(root, name), 'utf8'));
    expect(leaks(files.join('\n'))).toEqual([]);
    expect(leaks(files.map((text) => Buffer.from(text, 'base64').toString('latin1')).join('\n'))).toEqual([]);
  });

  it('nor do the public session files', () => {
    const files = ['web_godh.b64', 'web_session.b64'].map((name) => readFileSync(forged.path(name), 'utf8'));
    expect(leaks(files.map((text) => Buffer.from(text, 'base64').toString('latin1')).join('\n'))).toEqual([]);
  });
});
