import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAttest } from './testing/run-attest.ts';

/** The commands on certificates that AMD made, as other projects publish them. */
const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../../shared');
const vectors = path.join(shared, 'vectors');

interface Vector {
  readonly id: string;
  readonly files: readonly { readonly role: string; readonly path: string }[];
}

const manifest = JSON.parse(readFileSync(path.join(vectors, 'manifest.json'), 'utf8')) as { vectors: Vector[] };

function fileOf(id: string, role: string): string {
  const file = manifest.vectors.find((vector) => vector.id === id)?.files.find((candidate) => candidate.role === role);
  if (file === undefined) throw new Error(`no ${role} in vector ${id}`);
  return path.join(vectors, file.path);
}

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), 'sevh-attest-genuine-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** One file of a product as AMD publishes it, from ASK and ARK. */
function askArk(product: string): string {
  const file = path.join(root, `ask_ark_${product}.cert`);
  writeFileSync(file, Buffer.concat(['ask', 'ark'].map((role) => readFileSync(fileOf(`sevca-${product}`, role)))));
  return file;
}

const oneByOne = (product: string) =>
  ['pdh', 'pek', 'oca', 'cek'].flatMap((role) => [`--${role}`, fileOf(`sevchain-virtee-${product}`, role)]);

describe('chain', () => {
  it.each(['naples', 'rome', 'milan'])("a genuine %s platform is valid up to AMD's root", async (product) => {
    const words = ['chain', ...oneByOne(product), '--ask-ark', askArk(product), '--product', product];
    const { code, out } = await runAttest(words);
    expect(code).toBe(0);
    expect(out).toContain(`root: AMD's root of ${product}`);
  });

  it('a genuine platform under the root of another product is invalid', async () => {
    const { code, out } = await runAttest(['chain', ...oneByOne('milan'), '--ask-ark', askArk('rome'), '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(out).verdict).toBe('invalid');
  });

  it('a genuine export is incomplete, as firmware does not sign the CEK', async () => {
    const id = 'sevchain-naos-11447ac';
    const words = [
      'chain',
      '--chain',
      fileOf(id, 'chain_pek_oca_cek'),
      '--pdh',
      fileOf(id, 'pdh'),
      '--ask-ark',
      askArk('rome'),
    ];
    const { code, out } = await runAttest(words);
    expect(code).toBe(1);
    expect(out).toContain('INCOMPLETE');
  });

  it('the chip whose key was extracted is refused, though AMD signed it', async () => {
    const cek = fileOf('sevcert-cek-naples-leaked', 'cek');
    const { code, out } = await runAttest(['chain', '--cek', cek, '--ask-ark', askArk('naples')]);
    expect(code).toBe(1);
    expect(out).toContain('✗ failed: the CEK is not on the deny list of extracted keys');
    expect(out).toContain('INVALID');
  });
});

describe('fetch-roots', () => {
  it.each(['naples', 'rome', 'milan', 'genoa', 'turin'])(
    "takes AMD's file of %s, by the pins that are built in",
    async (product) => {
      const env = { XDG_CACHE_HOME: path.join(root, 'cache') };
      const asked: string[] = [];
      const download = async (url: string) => {
        asked.push(url);
        return new Uint8Array(readFileSync(askArk(product)));
      };
      const { code, out } = await runAttest(['fetch-roots', '--product', product], { env, download });
      expect(code).toBe(0);
      expect(out).toContain(`ask_ark_${product}.cert  (https://developer.amd.com/`);
      expect(asked).toEqual([`https://developer.amd.com/wp-content/resources/ask_ark_${product}.cert`]);
    },
  );

  it('fills in for --ask-ark where --product is named', async () => {
    const env = { XDG_CACHE_HOME: path.join(root, 'cache') };
    const { code } = await runAttest(['chain', ...oneByOne('milan'), '--product', 'milan'], { env });
    expect(code).toBe(0);
    const empty = { XDG_CACHE_HOME: path.join(root, 'empty-cache') };
    const without = await runAttest(['chain', ...oneByOne('milan'), '--product', 'milan'], { env: empty });
    expect(without.code).toBe(1);
  });

  it("refuses another product's file", async () => {
    const download = async () => new Uint8Array(readFileSync(askArk('rome')));
    const env = { XDG_CACHE_HOME: path.join(root, 'other-cache') };
    const { code, error } = await runAttest(['fetch-roots', '--product', 'milan'], { env, download });
    expect([code, error?.code]).toEqual([1, 'ATTEST_ROOTS_REFUSED']);
  });
});
