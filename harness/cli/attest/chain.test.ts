import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeAmdCaCertificate } from '../../../attestation/certs/amd-ca.ts';
import { encodeSevCertificate } from '../../../attestation/certs/sev-certificate.ts';
import { type ForgedPlatform, forgePlatform } from '../../../attestation/testing/platform.ts';
import { PLATFORM_DEFECTS, type PlatformDefect } from '../../../attestation/testing/platform-defects.ts';
import { toBase64 } from '../../../core/bytes.ts';
import { type ForgedCase, forgeCase } from './testing/forged-case.ts';
import { runAttest } from './testing/run-attest.ts';

let root: string;
let forged: ForgedCase;

beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), 'sevh-attest-chain-'));
  forged = forgeCase(path.join(root, 'sound'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const trusting = () => ['--trusted-root', forged.path('root.cert')];
const exported = () => ['--chain', forged.path('chain.b64'), '--pdh', forged.path('pdh.b64')];
const roots = () => ['--ask-ark', forged.path('ask_ark.cert')];
const cek = () => ['--cek', forged.path('cek.cert')];

/** Writes each certificate to a file of its own. */
function oneByOne(platform: ForgedPlatform): string[] {
  const { chain } = platform;
  return (['pdh', 'pek', 'oca', 'cek', 'ask', 'ark'] as const).flatMap((role) => {
    const file = path.join(root, `${role}.one`);
    const bytes =
      role === 'ask' || role === 'ark' ? encodeAmdCaCertificate(chain[role]) : encodeSevCertificate(chain[role]);
    writeFileSync(file, bytes);
    return [`--${role}`, file];
  });
}

describe('a complete chain is valid', () => {
  it("as libvirt's texts, AMD's files and the signed CEK", async () => {
    const { code, out } = await runAttest(['chain', ...exported(), ...roots(), ...cek(), ...trusting()]);
    expect(code).toBe(0);
    expect(out).toContain('✓ certificate chain');
    expect(out).toContain('pdh.b64: taken as base64, 2084 bytes');
    expect(out).toContain('cek.cert: taken as binary, 2084 bytes');
    expect(out).toContain('VALID: ');
    expect(out).toContain('root: not AMD');
  });

  it('also when the text is not ended by a line end: three certificates in base64 are as long as four in binary', async () => {
    const file = path.join(root, 'chain-without-line-end.b64');
    writeFileSync(file, toBase64(forged.platform.files.certChain));
    const words = ['--pdh', forged.path('pdh.b64'), '--chain', file, ...roots(), ...cek(), ...trusting()];
    const { code, out } = await runAttest(['chain', ...words]);
    expect([code, out]).toEqual([0, expect.stringContaining('.b64: taken as base64, 6252 bytes')]);
  });

  it('as one whole export', async () => {
    expect((await runAttest(['chain', '--chain', forged.path('export.cert'), ...trusting()])).code).toBe(0);
  });

  it('one by one', async () => {
    expect((await runAttest(['chain', ...oneByOne(forged.platform), ...trusting()])).code).toBe(0);
  });
});

describe('an exported chain without the signed CEK is incomplete', () => {
  it('exits with 1 and says where to get the CEK', async () => {
    const { code, out } = await runAttest(['chain', ...exported(), ...roots(), ...trusting()]);
    expect(code).toBe(1);
    expect(out).toContain('- incomplete: the ASK signed the CEK [chain.cek-signed-by-ask]');
    expect(out).toContain('fix: Get the CEK that AMD signed from https://kdsintf.amd.com/cek/id/');
    expect(out).toContain('INCOMPLETE, do not trust it yet');
  });

  it('names the very address when the chip id is given', async () => {
    const id = 'ab'.repeat(64);
    const { out } = await runAttest(['chain', ...exported(), ...roots(), ...trusting(), '--chip-id', id]);
    expect(out).toContain(`https://kdsintf.amd.com/cek/id/${id.toUpperCase()}`);
    const asLibvirt = toBase64(new Uint8Array(64).fill(0xab));
    const again = await runAttest(['chain', ...exported(), ...roots(), ...trusting(), '--chip-id', asLibvirt]);
    expect(again.out).toBe(out);
  });

  it('names every certificate that is missing', async () => {
    const { code, out } = await runAttest(['chain', '--pdh', forged.path('pdh.b64'), '--json']);
    expect(code).toBe(1);
    const rows = (JSON.parse(out).checks as { id: string; outcome: string }[]).filter(
      (row) => row.outcome === 'incomplete',
    );
    expect(rows.map((row) => row.id)).toEqual([
      'chain.ark-well-formed',
      'chain.ask-well-formed',
      'chain.cek-well-formed',
      'chain.pek-well-formed',
    ]);
  });
});

it('refuses a root that is not AMD’s unless it is told to trust it', async () => {
  const { code, out } = await runAttest(['chain', ...exported(), ...roots(), ...cek()]);
  expect(code).toBe(1);
  expect(out).toContain('✗ failed: the ARK is a root that is trusted');
  expect(out).toMatch(/INVALID, do not trust it: .*1 failed/);
});

it('refuses the root of another product', async () => {
  const words = ['chain', ...exported(), ...roots(), ...cek(), ...trusting(), '--product', 'milan'];
  const { code, out } = await runAttest(words);
  expect(code).toBe(1);
  expect(out).toContain('[chain.root-of-product]');
});

const REACHABLE = Object.entries(PLATFORM_DEFECTS).filter(([, defect]) => !('deniedChip' in defect.knobs));

it.each(REACHABLE)('%s turns its own row red, and the exit code with it', async (name, { row, outcome }) => {
  const broken = forgePlatform({ defect: name as PlatformDefect });
  const file = path.join(root, 'trusted.cert');
  writeFileSync(file, encodeAmdCaCertificate(broken.verification.trustedRoot));
  const { code, out, error } = await runAttest(['chain', ...oneByOne(broken), '--trusted-root', file, '--json']);
  expect(error).toBeUndefined();
  expect(code).toBe(1);
  const checks = JSON.parse(out).checks as { id: string; outcome: string }[];
  const red = checks.filter((check) => check.outcome === 'failed' || check.outcome === 'incomplete');
  expect(red.map((check) => [check.id, check.outcome])).toEqual([[row, outcome]]);
});

describe('files that are no certificates', () => {
  const bad = (name: string, content: Uint8Array | string) => {
    const file = path.join(root, name);
    writeFileSync(file, content);
    return file;
  };

  it.each<[string, () => string[], number, string]>([
    [
      'a truncated ask_ark is no lone ASK',
      () => ['--ask-ark', bad('short', forged.platform.files.askArk.subarray(0, 832))],
      1,
      'CHAIN_FILE_UNKNOWN',
    ],
    [
      'ARK before ASK',
      () => ['--ask-ark', bad('swapped', swapHalves(forged.platform.files.askArk))],
      1,
      'CHAIN_CERTIFICATE_MISPLACED',
    ],
    ['a lone certificate is no chain', () => ['--chain', forged.path('cek.cert')], 1, 'CHAIN_FILE_UNKNOWN'],
    [
      'a PDH with a byte behind it',
      () => ['--pdh', bad('long', Buffer.concat([forged.platform.files.pdh, Buffer.of(0)]))],
      1,
      'SEV_CERTIFICATE_MALFORMED',
    ],
    ['base64 with wrong padding', () => ['--pdh', bad('padding', 'AAEC=')], 1, 'ATTEST_INPUT_BASE64'],
    [
      'base64 over several lines',
      () => [
        '--pdh',
        bad(
          'lines',
          Buffer.from(forged.platform.files.pdh)
            .toString('base64')
            .replace(/(.{76})/g, '$1\n'),
        ),
      ],
      1,
      'ATTEST_INPUT_BASE64',
    ],
    ['an empty file', () => ['--pdh', bad('empty', '')], 1, 'SEV_CERTIFICATE_MALFORMED'],
    [
      'a PEM file',
      () => ['--ark', bad('pem', '-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n')],
      1,
      'CA_CERTIFICATE_MALFORMED',
    ],
    ['two different CEKs', () => [...cek(), '--chain', otherExport()], 1, 'CHAIN_CERTIFICATES_CONFLICT'],
    ['a file that is not there', () => ['--pdh', path.join(root, 'nowhere')], 3, 'ATTEST_INPUT_UNREADABLE'],
    ['a folder', () => ['--pdh', root], 3, 'ATTEST_INPUT_UNREADABLE'],
    ['a file without end', () => ['--pdh', '/dev/zero'], 3, 'ATTEST_INPUT_UNREADABLE'],
    ['no certificates at all', () => [], 3, 'CLI_USAGE'],
    ['an unknown product', () => ['--product', 'zen9'], 3, 'CLI_USAGE'],
    ['a chip id that is too short', () => ['--pdh', forged.path('pdh.b64'), '--chip-id', 'abcd'], 3, 'CLI_USAGE'],
    ['a flag given twice', () => ['--pdh', forged.path('pdh.b64'), '--pdh', forged.path('pdh.b64')], 3, 'CLI_USAGE'],
  ])('%s', async (_, words, code, errorCode) => {
    const ran = await runAttest(['chain', ...words()]);
    expect([ran.code, ran.error?.code]).toEqual([code, errorCode]);
    expect(ran.error?.message).not.toContain('\n');
    expect(ran.out).toBe('');
  });

  function otherExport(): string {
    return bad('other', forgePlatform().files.fullExport);
  }
});

it('finds certificates in swapped roles by their usage', async () => {
  const words = ['chain', '--pdh', path.join(root, 'pek.one'), '--pek', path.join(root, 'pdh.one'), '--json'];
  oneByOne(forged.platform);
  const { code, out } = await runAttest(words);
  expect(code).toBe(1);
  const rows = (JSON.parse(out).checks as { id: string; outcome: string }[]).filter((row) => row.outcome === 'failed');
  expect(rows.map((row) => row.id)).toEqual(['chain.pek-well-formed', 'chain.pdh-well-formed']);
});

it('prints nothing with --quiet, and answers by its exit code', async () => {
  const words = ['chain', ...exported(), ...roots(), ...trusting(), '--quiet'];
  expect(await runAttest(words)).toMatchObject({ code: 1, out: '', err: '' });
  expect(await runAttest([...words, ...cek()])).toMatchObject({ code: 0, out: '', err: '' });
});

function swapHalves(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes.subarray(bytes.length / 2), bytes.subarray(0, bytes.length / 2)]);
}
