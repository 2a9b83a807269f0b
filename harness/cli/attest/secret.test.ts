import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ForgedCase, forgeCase } from './testing/forged-case.ts';
import { runAttest } from './testing/run-attest.ts';

let root: string;
let forged: ForgedCase;
let measurement: string;

beforeAll(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'sevh-attest-secret-'));
  forged = forgeCase(path.join(root, 'case'));
  const words = ['--pdh', forged.path('pdh.b64'), '--policy', '1', '--name', 'web', '--out', forged.folder];
  await runAttest(['session', ...words, '--insecure']);
  const read = (name: string) => readFileSync(forged.path(name), 'utf8');
  measurement = forged.launch({ godh: read('web_godh.b64'), session: read('web_session.b64') }, { policy: 1 });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const keys = () => ['--tik', forged.path('web_tik.bin'), '--tek', forged.path('web_tek.bin')];
const launch = () => [
  ...['--measurement', measurement, '--api-major', '1', '--api-minor', '55', '--build-id', '21', '--policy', '1'],
  ...['--firmware', forged.path('OVMF.fd')],
];
const packet = () => ['--secret-header', path.join(root, 'header'), '--secret-payload', path.join(root, 'payload')];
const GUID = '11111111-2222-3333-4444-555555555555';
const secrets = () => [
  ...['-s', `luks-key:${forged.path('passphrase.txt')}`, '-s', `${GUID}:${forged.path('vmlinuz')}`],
];
const open = (...words: string[]) =>
  runAttest(['secret', '--open', ...packet(), ...keys(), '--measurement', measurement, ...words]);

describe('a packet for a launch that verifies', () => {
  it('is written in base64, and opens to the GUIDs that were given', async () => {
    const { code, out } = await runAttest(['secret', ...launch(), ...keys(), ...packet(), ...secrets()]);
    expect(code).toBe(0);
    expect(out).toContain('VALID');
    expect(Buffer.from(readFileSync(path.join(root, 'header'), 'utf8'), 'base64')).toHaveLength(52);
    const opened = await open('--json');
    expect(JSON.parse(opened.out).secrets).toEqual([
      { guid: '736869e5-84f0-4973-92ec-06879ce3da0b', bytes: 28 },
      { guid: GUID, bytes: 25 },
    ]);
  });

  it('does not open for another launch, nor with swapped keys', async () => {
    const other = Buffer.from(measurement, 'base64').fill(0, 0, 4).toString('base64');
    const ran = await runAttest(['secret', '--open', ...packet(), ...keys(), '--measurement', other]);
    expect([ran.code, ran.error?.code]).toEqual([1, 'SECRET_MAC_MISMATCH']);
    const swapped = ['--tik', forged.path('web_tek.bin'), '--tek', forged.path('web_tik.bin')];
    const both = await runAttest(['secret', '--open', ...packet(), ...swapped, '--measurement', measurement]);
    expect(both.error?.code).toBe('SECRET_MAC_MISMATCH');
  });

  it('is not made again with the same bytes: the IV is fresh', async () => {
    const read = () => readFileSync(path.join(root, 'header'), 'utf8');
    const before = read();
    let drawn = 0;
    const random = (length: number) => new Uint8Array(length).fill(++drawn + 100);
    await runAttest(['secret', ...launch(), ...keys(), ...packet(), ...secrets()], { random });
    expect(read()).not.toBe(before);
  });
});

describe('no packet', () => {
  const fresh = () => [
    '--secret-header',
    path.join(root, 'no-header'),
    '--secret-payload',
    path.join(root, 'no-payload'),
  ];
  const notWritten = () => expect(() => readFileSync(path.join(root, 'no-header'))).toThrow(/ENOENT/);

  it.each<[string, () => string[]]>([
    ['for a launch that does not match', () => [...launch(), '--initrd', '/dev/null', '--kernel', '/dev/null']],
    [
      'for a launch that does not match, not even with --insecure',
      () => [...launch(), '--kernel', '/dev/null', '--insecure'],
    ],
  ])('%s', async (_, words) => {
    const { code, out } = await runAttest(['secret', ...words(), ...keys(), ...fresh(), ...secrets()]);
    expect(code).toBe(1);
    expect(out).toContain('No secret was given out');
    notWritten();
  });

  it.each<[string, () => string[], RegExp]>([
    [
      'without a launch',
      () => ['--measurement', measurement, ...keys(), ...fresh(), ...secrets()],
      /a measurement cannot be verified without/,
    ],
    ['without any evidence', () => [...keys(), ...fresh(), ...secrets()], /the launch must verify before/],
    [
      'without a TEK',
      () => [...launch(), ...keys().slice(0, 2), ...fresh(), ...secrets()],
      /--tik and --tek are required/,
    ],
    ['without a secret', () => [...launch(), ...keys(), ...fresh()], /--inject-secret is required/],
    [
      'without a place to put it',
      () => [...launch(), ...keys(), ...secrets()],
      /give --secret-header and --secret-payload/,
    ],
    ['with half a place', () => [...launch(), ...keys(), ...secrets(), ...fresh().slice(0, 2)], /belong together/],
    ['for an unknown alias', () => [...launch(), ...keys(), ...fresh(), '-s', 'lusk-key:/dev/null'], /expected a GUID/],
    [
      'for a secret without a file',
      () => [...launch(), ...keys(), ...fresh(), '-s', 'luks-key'],
      /expected ALIAS-OR-GUID:FILE/,
    ],
    [
      'of a secret under 8 bytes',
      () => [...launch(), ...keys(), ...fresh(), '-s', 'luks-key:/dev/null'],
      /0 bytes, expected at least 8/,
    ],
    [
      'with a GUID twice',
      () => [...launch(), ...keys(), ...fresh(), ...secrets(), ...secrets()],
      /two secrets have the GUID/,
    ],
  ])('%s', async (_, words, message) => {
    const { code, error } = await runAttest(['secret', ...words()]);
    expect([code, error?.message]).toEqual([3, expect.stringMatching(message)]);
    notWritten();
  });
});

it('takes a measurement that was verified elsewhere with --insecure, and warns', async () => {
  const place = ['--secret-header', path.join(root, 'h2'), '--secret-payload', path.join(root, 'p2')];
  const words = ['secret', '--insecure', '--measurement', measurement, ...keys(), ...place, ...secrets()];
  const { code, err } = await runAttest(words);
  expect(code).toBe(0);
  expect(err).toContain('warning: nothing was verified');
  expect(readFileSync(path.join(root, 'p2'), 'utf8').length).toBeGreaterThan(0);
});

it.each<[string, string, string, string]>([
  ['a truncated header', 'header', 'AAAA', 'SECRET_HEADER_MALFORMED'],
  ['a payload of no whole blocks', 'payload', Buffer.alloc(17, 0xff).toString('base64'), 'SECRET_PAYLOAD_INVALID'],
  ['a payload that is not base64', 'payload', 'AAEC=', 'ATTEST_INPUT_BASE64'],
])('refuses to open %s', async (_, name, content, code) => {
  await runAttest(['secret', ...launch(), ...keys(), ...packet(), ...secrets()]);
  writeFileSync(path.join(root, name), content);
  const ran = await open();
  expect([ran.code, ran.error?.code]).toEqual([1, code]);
});
