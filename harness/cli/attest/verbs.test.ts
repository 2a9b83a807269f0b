import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { computeLaunchDigest } from '../../../attestation/measurement/digest.ts';
import { toHex } from '../../../core/bytes.ts';
import { type ForgedCase, forgeCase } from './testing/forged-case.ts';
import { runAttest } from './testing/run-attest.ts';

let root: string;
let forged: ForgedCase;

beforeAll(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'sevh-attest-verbs-'));
  forged = forgeCase(path.join(root, 'case'));
  const words = ['--pdh', forged.path('pdh.b64'), '--policy', '1', '--name', 'web', '--out', forged.folder];
  await runAttest(['session', ...words, '--insecure']);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const VERBS = ['chain', 'session', 'digest', 'verify', 'secret', 'explain', 'policy', 'fetch-roots'];
const MILAN = ['--cpu-family', '25', '--cpu-model', '1', '--cpu-stepping', '1'];

describe('digest', () => {
  const firmware = () => ['--firmware', forged.path('OVMF.fd')];

  it('prints the digest alone on standard output', async () => {
    const { code, out, err } = await runAttest(['digest', ...firmware()]);
    expect(code).toBe(0);
    expect(out).toBe(`${toHex(computeLaunchDigest({ guestFirmware: forged.guestFirmware }))}\n`);
    expect(err).toContain('Launch digest of a SEV guest over guest firmware');
  });

  it('takes vCPU flags as SEV-ES, unless the policy says otherwise', async () => {
    const words = ['digest', ...firmware(), '--num-cpus', '2', ...MILAN];
    const es = JSON.parse((await runAttest([...words, '--json'])).out);
    expect(es).toMatchObject({ mode: 'sev-es', vcpus: 2, kernelHashes: false });
    const sev = JSON.parse((await runAttest([...words, '--policy', '1', '--json'])).out);
    expect(sev).toMatchObject({ mode: 'sev', vcpus: null });
    expect(sev.digestHex).not.toBe(es.digestHex);
    expect(sev.warnings).toHaveLength(1);
  });

  it('names the file where a firmware cannot do what is asked', async () => {
    writeFileSync(path.join(root, 'plain.fd'), Buffer.alloc(4096));
    const words = ['digest', '--firmware', path.join(root, 'plain.fd'), '--kernel', forged.path('vmlinuz')];
    const { code, error } = await runAttest(words);
    expect([code, error?.code]).toEqual([3, 'OVMF_NO_TABLE']);
    expect(error?.message).toMatch(/^--firmware .*plain\.fd: /);
  });
});

describe('policy', () => {
  it.each([
    [['0x0033'], 0, '0x0033 NODBG NOKS DOMAIN SEV\n'],
    [['--policy', '3'], 0, '0x0003 NODBG NOKS\n'],
    [['0x40'], 1, '0x0040 RESERVED(6)\n'],
    [['--snp', '0x30000'], 0, '0x30000 SMT\n'],
    [['--snp', '0'], 1, '0x00000 MISSING(17)\n'],
  ])('%j', async (words, code, head) => {
    const ran = await runAttest(['policy', ...words]);
    expect(ran.code).toBe(code);
    expect(ran.out.startsWith(head)).toBe(true);
  });

  it.each([[['x']], [['-1']], [['0x100000000']], [[]], [['1', '2']], [['1', '--policy', '1']]])(
    '%j is a usage error',
    async (words) => {
      expect((await runAttest(['policy', ...words])).code).toBe(3);
    },
  );
});

describe('explain', () => {
  const words = (changes: Record<string, string> = {}) => {
    const read = (name: string) => readFileSync(forged.path(name), 'utf8');
    const session = { godh: read('web_godh.b64'), session: read('web_session.b64') };
    const all = {
      measurement: forged.launch(session, { policy: 1 }),
      'api-major': '1',
      'api-minor': '55',
      'build-id': '21',
      policy: '1',
      firmware: forged.path('OVMF.fd'),
      tik: forged.path('web_tik.bin'),
      ...changes,
    };
    return ['explain', ...Object.entries(all).map(([name, value]) => `--${name}=${value}`)];
  };

  it('says that it matches as given', async () => {
    expect(await runAttest(words())).toMatchObject({
      code: 0,
      out: expect.stringContaining('The measurement matches as given'),
    });
  });

  it('names the one input that differs, and what to do', async () => {
    const { code, out } = await runAttest(words({ policy: '0x01000000' }));
    expect(code).toBe(1);
    expect(out).toContain('The measurement matches if');
    expect(out).toContain('Verify against the policy that the session was made with');
  });

  it('tries other firmware images', async () => {
    writeFileSync(path.join(root, 'wrong.fd'), Buffer.alloc(4096, 7));
    const wrong = words({ firmware: path.join(root, 'wrong.fd') });
    const { code, out } = await runAttest([...wrong, '--alternate', forged.path('OVMF.fd'), '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ outcome: 'explained', changes: [{ dimension: 'guest-firmware' }] });
  });

  it('says what it tried where nothing fits, within its bound', async () => {
    writeFileSync(path.join(root, 'wrong.fd'), Buffer.alloc(4096, 7));
    const { code, out } = await runAttest([
      ...words({ firmware: path.join(root, 'wrong.fd') }),
      '--max-candidates',
      '500',
    ]);
    expect(code).toBe(1);
    expect(out).toMatch(/500 candidates tried/);
  });

  it('shows progress where someone is looking', async () => {
    writeFileSync(path.join(root, 'wrong.fd'), Buffer.alloc(4096, 7));
    const wrong = words({ firmware: path.join(root, 'wrong.fd') });
    expect((await runAttest([...wrong, '--max-candidates', '600'], { showsProgress: true })).err).toMatch(
      /tried|of at most/,
    );
    expect((await runAttest([...wrong, '--max-candidates', '600'])).err).not.toContain('\r');
  });

  it.each([['0'], ['-1'], ['many']])('refuses --max-candidates %s', async (count) => {
    expect((await runAttest([...words(), `--max-candidates=${count}`])).code).toBe(3);
  });
});

describe('help', () => {
  it('lists the verbs', async () => {
    const { code, out } = await runAttest(['--help']);
    expect(code).toBe(0);
    for (const verb of VERBS) expect(out).toContain(`  ${verb}`);
  });

  it('goes to standard error, as a usage error, when no verb is named', async () => {
    expect(await runAttest([])).toMatchObject({ code: 3, out: '', err: expect.stringContaining('Usage:') });
  });

  it.each(VERBS)('of %s shows its flags and examples', async (verb) => {
    const { code, out } = await runAttest([verb, '--help']);
    expect(code).toBe(0);
    expect(out).toContain(`Usage: sev-harness attest ${verb}`);
    expect(out).toContain('Examples:');
    expect(out).toContain('--json');
  });

  it('says which verb is unknown', async () => {
    const { code, error } = await runAttest(['verfiy']);
    expect([code, error?.message]).toEqual([3, "unknown verb 'attest verfiy'"]);
  });
});
