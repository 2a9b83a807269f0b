import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { signedCekUrl } from '../../../attestation/certs/cek-url.ts';
import { type ChainCertificates, parseAskArk } from '../../../attestation/certs/chain-files.ts';
import { PINNED_ROOTS, type PinnedRoot } from '../../../attestation/certs/products.ts';
import { rsaSpkiSha256Hex } from '../../../attestation/certs/rsa-pss.ts';
import { parseSevCertificate } from '../../../attestation/certs/sev-certificate.ts';
import { verifyChain } from '../../../attestation/verify/chain.ts';
import { toHex } from '../../../core/bytes.ts';
import { isSevHarnessError } from '../../../core/errors.ts';
import { harnessError } from '../../errors.ts';
import { EXIT } from '../output.ts';
import { cacheFolder, rootsPath } from './cache.ts';
import { parseChipId, readProduct } from './chain-input.ts';
import { type Arguments, usageError } from './flags.ts';
import type { AttestIo } from './io.ts';
import { makeFolder, writeFiles } from './write.ts';

interface Fetched {
  readonly path: string;
  readonly from: string;
}

/** Downloads ASK and ARK of a product, and with `--chip-id` a chip's signed CEK; writes only what verifies. */
export async function fetchRootsVerb(
  args: Arguments,
  io: AttestIo,
  pins: readonly PinnedRoot[] = PINNED_ROOTS,
): Promise<number> {
  const product = readProduct(args);
  const pin = pins.find((candidate) => candidate.product === product);
  if (product === undefined || pin === undefined)
    throw usageError('--product is required', 'For example: --product milan');
  const chipId = args.text('chip-id') === undefined ? undefined : parseChipId(args.required('chip-id'));
  const folder = args.text('out') ?? cacheFolder(io.env);
  const file = path.join(folder, path.basename(rootsPath(io.env, product)));

  const cached = args.has('refresh') ? undefined : readCached(file, pin);
  const downloaded = cached === undefined ? await io.download(pin.url) : undefined;
  const roots = cached ?? checkRoots(downloaded ?? new Uint8Array(), pin, pin.url);
  const fetched: Fetched[] = [{ path: file, from: downloaded === undefined ? 'cache' : pin.url }];
  makeFolder(folder);
  if (downloaded !== undefined) writeFiles([{ path: file, content: downloaded, mode: 0o644 }], { replace: true });
  if (chipId !== undefined) fetched.push(await fetchCek(chipId, roots, folder, io));

  if (args.has('json')) io.out(`${JSON.stringify({ verb: 'fetch-roots', ok: true, product, files: fetched })}\n`);
  else for (const { path: name, from } of fetched) io.out(`${name}  (${from}, verified)\n`);
  return EXIT.ok;
}

async function fetchCek(chipId: Uint8Array, roots: ChainCertificates, folder: string, io: AttestIo): Promise<Fetched> {
  const url = signedCekUrl(chipId);
  const file = path.join(folder, `cek_${toHex(chipId).slice(0, 16)}.cert`);
  const bytes = await io.download(url);
  const cek = refusing(url, () => parseSevCertificate(bytes));
  const { ark } = roots;
  const verdict = verifyChain({ ...roots, cek }, { leaf: 'cek', ...(ark === undefined ? {} : { trustedRoot: ark }) });
  const wrong = verdict.checks.find((row) => row.outcome === 'failed' || row.outcome === 'incomplete');
  if (!verdict.ok) throw refused(url, `${wrong?.id ?? 'chain'}: ${wrong?.because ?? 'it does not verify'}`);
  writeFiles([{ path: file, content: bytes, mode: 0o644 }], { replace: true });
  return { path: file, from: url };
}

/** A file that was written before is believed as little as a download; a damaged one is fetched anew. */
function readCached(file: string, pin: PinnedRoot): ChainCertificates | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return checkRoots(readFileSync(file), pin, file);
  } catch (error) {
    if (isSevHarnessError(error)) return undefined;
    throw error;
  }
}

/** Both keys are pinned, and both signatures verify. Throws `ATTEST_ROOTS_REFUSED`. */
function checkRoots(bytes: Uint8Array, pin: PinnedRoot, from: string): ChainCertificates {
  const roots = refusing(from, () => parseAskArk(bytes));
  const { ask, ark } = roots;
  if (ask === undefined || ark === undefined) throw refused(from, 'it lacks ASK or ARK');
  for (const [name, key, expected] of [
    ['ARK', ark, pin.arkSpkiSha256Hex],
    ['ASK', ask, pin.askSpkiSha256Hex],
  ] as const) {
    const actual = rsaSpkiSha256Hex(key);
    if (actual !== expected) throw refused(from, `its ${name} has fingerprint ${actual}, pinned is ${expected}`);
  }
  const { checks } = verifyChain({ ask, ark }, { leaf: 'cek', trustedRoot: ark });
  const wrong = checks.find((row) => row.outcome === 'failed');
  if (wrong !== undefined) throw refused(from, `${wrong.id}: ${wrong.because}`);
  return { ask, ark };
}

function refusing<T>(from: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!isSevHarnessError(error)) throw error;
    throw refused(from, error.message);
  }
}

function refused(from: string, why: string) {
  return harnessError('ATTEST_ROOTS_REFUSED', `${from} is not what AMD published, nothing was written: ${why}`, {
    hint: 'A proxy may have answered in its place. Compare with the fingerprints in attestation/certs/products.ts.',
  });
}
