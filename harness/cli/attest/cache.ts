import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import type { Product } from '../../../attestation/certs/products.ts';

/** Where downloads are kept: `$XDG_CACHE_HOME/sev-harness`, or `~/.cache/sev-harness`. */
export function cacheFolder(env: Readonly<Record<string, string | undefined>>): string {
  const configured = env.XDG_CACHE_HOME;
  // The specification says to ignore a relative path.
  const base = configured !== undefined && path.isAbsolute(configured) ? configured : path.join(homedir(), '.cache');
  return path.join(base, 'sev-harness');
}

/** AMD's ASK and ARK of a product in the cache, whether it is there or not. */
export function rootsPath(env: Readonly<Record<string, string | undefined>>, product: Product): string {
  return path.join(cacheFolder(env), `ask_ark_${product}.cert`);
}

export function cachedRootsPath(
  env: Readonly<Record<string, string | undefined>>,
  product: Product,
): string | undefined {
  const file = rootsPath(env, product);
  return existsSync(file) ? file : undefined;
}
