import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openHost } from '../host/host.ts';
import { ruleCatalogue } from './catalogue.ts';
import { fixDomain, lintDomain } from './lint.ts';
import { type HostValues, PROFILES, type ProfileName } from './rule.ts';
import { tryDomain } from './trial.ts';

const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../shared');
const folder = path.join(shared, 'vectors/nova-xml');

interface Vector {
  readonly id: string;
  readonly source: 'nova' | 'mutant' | 'seed';
  readonly file: string;
  readonly release?: string;
  readonly caps: string;
  readonly verdict: {
    readonly encrypted: boolean;
    readonly train: readonly string[];
    readonly modern: readonly string[];
    readonly warn: readonly string[];
  };
}

const manifest = JSON.parse(readFileSync(path.join(folder, 'manifest.json'), 'utf8')) as { vectors: Vector[] };
const vectors = manifest.vectors;
const read = ({ file }: Vector) => readFileSync(path.join(folder, file), 'utf8');

/** The host behind each `caps` of the manifest; nova.md, rule X1: 51 and 5 beside the seeds' 47 and 1. */
function hostOf({ caps, file }: Vector): HostValues | undefined {
  if (caps === 'none') return undefined;
  if (caps === 'sev') return { cbitpos: 47, reducedPhysBits: 1 };
  const reduced = /<reducedPhysBits>(\d+)</.exec(readFileSync(path.join(folder, file), 'utf8'))?.[1];
  return { cbitpos: 51, reducedPhysBits: Number(reduced ?? 1) };
}

function lint(vector: Vector, profile: ProfileName) {
  const host = hostOf(vector);
  return lintDomain(read(vector), { profile, ...(host === undefined ? {} : { host }) });
}

const sorted = (rules: Iterable<string>) => [...new Set(rules)].sort();

describe('domain XML that nova wrote, its mutants, and the seed examples', () => {
  it('is what the manifest lists', () => {
    expect(vectors.length).toBeGreaterThanOrEqual(56);
    expect(new Set(vectors.map(({ source }) => source))).toEqual(new Set(['nova', 'mutant', 'seed']));
  });

  describe.each(PROFILES)('profile %s', (profile) => {
    it.each(vectors.map((vector) => [vector.file, vector] as const))(
      'has exactly the expected rules: %s',
      (_, vector) => {
        const { findings, isEncrypted } = lint(vector, profile);
        const bySeverity = (severity: string) =>
          sorted(findings.filter((finding) => finding.severity === severity).map(({ rule }) => rule));
        const errors = sorted(vector.verdict[profile]);
        expect(isEncrypted).toBe(vector.verdict.encrypted);
        expect(bySeverity('error')).toEqual(errors);
        expect(bySeverity('warning')).toEqual(sorted(vector.verdict.warn.filter((rule) => !errors.includes(rule))));
      },
    );
  });
});

describe('--fix', () => {
  const stubborn: Readonly<Record<ProfileName, readonly RegExp[]>> = {
    // What only a person can decide: passthrough, another vendor's type, SNP and SEV-ES under the old profile.
    train: [/^HOSTDEV:/, /^LS-TYPE$/, /^LS-TYPE-SNP$/, /^POLICY-NOT-0x0033$/, /^SEV-DIRECT-KERNEL-UNMEASURED$/],
    modern: [/^HOSTDEV:/, /^LS-TYPE$/, /^BOOT-DISK-VIRTIO-BLK$/, /^SEV-DIRECT-KERNEL-UNMEASURED$/],
  };

  describe.each(PROFILES)('profile %s', (profile) => {
    it.each(vectors.map((vector) => [vector.file, vector] as const))('mends what can be mended: %s', (_, vector) => {
      const host = hostOf(vector) ?? { cbitpos: 47, reducedPhysBits: 1 };
      const { findings, xml } = fixDomain(read(vector), { profile, host });
      const left = findings.filter(({ rule }) => !stubborn[profile].some((pattern) => pattern.test(rule)));
      expect(left).toEqual([]);
      expect(fixDomain(xml, { profile, host }).xml).toBe(xml);
    });
  });
});

describe('quotes', () => {
  const seeds: Readonly<Record<string, string>> = {
    'libvirt article': '000_314de37e336b95d5.txt',
    'nova specification': '002_95d26c127dc50df9.txt',
  };
  /** The article came as a patch in a mail, and both were taken from web pages: markup and white space are not their words. */
  const plain = (text: string) =>
    text
      .replace(/^\+/gm, '')
      .replace(/<\/?(code|p|a|b)>/g, '')
      .replace(/\s+/g, '');
  const words = Object.fromEntries(
    Object.entries(seeds).map(([document, file]) => [
      document,
      plain(readFileSync(path.join(shared, 'seeds', file), 'utf8')),
    ]),
  );
  const quotes = ruleCatalogue.flatMap(({ id, sources }) => sources.map((quote) => [id, quote] as const));

  it.each(quotes.filter(([, { document }]) => document in seeds))('%s cites words of a seed', (_, quote) => {
    expect(words[quote.document]?.includes(plain(quote.text))).toBe(true);
  });
});

describe("both full examples of the article, to libvirt's ears", () => {
  const examples = vectors.filter(({ source }) => source === 'seed');
  // The emulated QEMU is too new for the machine type of the examples.
  const current = (vector: Vector) =>
    read(vector)
      .replace(/pc-q35-3\.0/, 'q35')
      .replace(/pc-i440fx-3\.0/, 'pc');
  const withBackend = (xml: string) => xml.replace(/<rng[^>]*>/, "$&<backend model='random'>/dev/urandom</backend>");

  it.each(examples.map((vector) => [vector.file, vector] as const))(
    '%s is refused for its rng, and only for that',
    async (_, vector) => {
      await using host = await openHost({ kind: 'emulated', text: 'fake:naples', profile: 'naples' });
      const name = /<name>(.*)<\/name>/.exec(read(vector))?.[1] ?? '';
      expect(await tryDomain(host.connection, name, current(vector))).toMatchObject({
        outcome: 'refused at define',
        text: 'XML error: only one RNG backend is supported',
        diagnosis: 'rng-backend',
      });
      expect((await tryDomain(host.connection, name, withBackend(current(vector)))).outcome).toBe('started');
    },
  );
});
