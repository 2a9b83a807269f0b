import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { mutants } from './mutation-ops.ts';
import { openVectorSet } from './vector-files.ts';
import { VECTOR_KINDS } from './vector-kinds.ts';

const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../shared');

function read(name: string): Uint8Array {
  const bytes = readFileSync(path.join(shared, 'vectors', name));
  return Uint8Array.from(name.endsWith('.gz') ? gunzipSync(bytes) : bytes);
}

const json = (name: string): unknown => JSON.parse(Buffer.from(read(name)).toString('utf8'));

it('the vector tests together run every vector, every recipe and all 7,835 mutants, none of them twice', () => {
  const kinds = Object.values(VECTOR_KINDS).flat();
  expect(new Set(kinds).size).toBe(kinds.length);
  const { vectors, recipes, rolesOf, fileOf } = openVectorSet(read, kinds);
  expect(vectors.length).toBe((json('manifest.json') as { vectors: unknown[] }).vectors.length);
  expect(recipes.length).toBe((json('mutations.json') as { mutations: unknown[] }).mutations.length);
  expect(recipes.length).toBe(722);
  const bases = new Map(vectors.map((vector) => [vector.id, rolesOf(vector)]));
  const counts = recipes.map((recipe) => {
    // Needs the keys of its vector; the session test carries it out, one mutant each.
    if (recipe.ops.some(({ op }) => op === 'secret_plain')) return 1;
    const base = bases.get(recipe.base);
    return base === undefined ? 0 : mutants(base, recipe.ops, fileOf).length;
  });
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(7835);
});
