import type { MutationOp, Roles } from './mutation-ops.ts';

/** One entry of the shared `manifest.json`, as far as the tests look at it. */
export interface Vector {
  readonly id: string;
  readonly kind: string;
  readonly generation?: string;
  readonly denylist?: boolean;
  /** Who signs the report. */
  readonly key?: 'vcek' | 'vlek';
  readonly evaluate_at?: string;
  readonly files: readonly { readonly path: string; readonly role: string }[];
  readonly expect: { readonly verdict: string; readonly checks: Readonly<Record<string, string>> };
}

/** One entry of the shared `mutations.json`. */
export interface Recipe {
  readonly id: string;
  readonly base: string;
  readonly class: 'crypto' | 'strict' | 'control';
  readonly ops: readonly MutationOp[];
  readonly context?: {
    readonly generation?: string;
    readonly key?: 'vcek' | 'vlek';
    readonly evaluate_at?: string;
  };
  readonly expect: { readonly verdict: string };
}

export interface VectorSet {
  readonly vectors: readonly Vector[];
  readonly recipes: readonly Recipe[];
  readonly rolesOf: (vector: Vector) => Roles;
  readonly fileOf: (vectorId: string, role: string) => Uint8Array;
}

/** The shared vectors of some kinds; the caller reads the files, because this room touches no disk. */
export function openVectorSet(readFile: (path: string) => Uint8Array, kinds: readonly string[]): VectorSet {
  const json = (name: string): unknown => JSON.parse(Buffer.from(readFile(name)).toString('utf8'));
  const all = (json('manifest.json') as { vectors: Vector[] }).vectors;
  const byId = new Map(all.map((vector) => [vector.id, vector]));
  const recipes = (json('mutations.json') as { mutations: Recipe[] }).mutations;
  const isOfKind = (vector: Vector | undefined) => vector !== undefined && kinds.includes(vector.kind);
  return {
    vectors: all.filter(isOfKind),
    recipes: recipes.filter((recipe) => isOfKind(byId.get(recipe.base))),
    rolesOf: (vector) => new Map(vector.files.map((file) => [file.role, readFile(file.path)])),
    fileOf: (vectorId, role) => {
      const file = byId.get(vectorId)?.files.find((candidate) => candidate.role === role);
      if (file === undefined) throw new Error(`no file ${role} in vector ${vectorId}`);
      return readFile(file.path);
    },
  };
}
