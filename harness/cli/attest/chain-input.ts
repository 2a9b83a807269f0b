import { parseAmdCaCertificate } from '../../../attestation/certs/amd-ca.ts';
import {
  type ChainCertificates,
  mergeChains,
  parseAskArk,
  parseCertChain,
  parseChainFile,
} from '../../../attestation/certs/chain-files.ts';
import { PINNED_ROOTS, type Product } from '../../../attestation/certs/products.ts';
import { parseSevCertificate } from '../../../attestation/certs/sev-certificate.ts';
import { type ChainOptions, type ChainResult, verifyChain } from '../../../attestation/verify/chain.ts';
import { fromBase64, fromHex } from '../../../core/bytes.ts';
import { cachedRootsPath } from './cache.ts';
import { type Arguments, clip, usageError } from './flags.ts';
import type { AttestIo } from './io.ts';
import { type InputReader, naming } from './read.ts';

const ASK_ARK_LENGTHS = [1664, 3200] as const;
const EXPORT_LENGTHS = [8336, 8336 + 1664, 8336 + 3200] as const;
const CHIP_ID_BYTES = 64;

/** The chain that the flags name, with what the host says of itself put under it. */
export function readChain(args: Arguments, io: AttestIo, read: InputReader, fromHost: ChainCertificates = {}) {
  const parts: ChainCertificates[] = [];
  const take = (name: string, parse: (bytes: Uint8Array) => ChainCertificates, path = args.text(name)) => {
    if (path === undefined) return;
    const flag = `--${name}`;
    const bytes = read.either(flag, path);
    parts.push(naming(flag, path, () => parse(bytes)));
  };
  take('chain', parseChainOrExport);
  take('pdh', (bytes) => ({ pdh: parseSevCertificate(bytes) }));
  take('pek', (bytes) => ({ pek: parseSevCertificate(bytes) }));
  take('oca', (bytes) => ({ oca: parseSevCertificate(bytes) }));
  take('cek', (bytes) => ({ cek: parseSevCertificate(bytes) }));
  take('ask', (bytes) => ({ ask: parseAmdCaCertificate(bytes) }));
  take('ark', (bytes) => ({ ark: parseAmdCaCertificate(bytes) }));
  take('ask-ark', parseAskArk);
  const given = mergeChains(...parts);
  const product = readProduct(args);
  if (product !== undefined && given.ask === undefined && given.ark === undefined) {
    take('ask-ark', parseAskArk, cachedRootsPath(io.env, product));
  }
  // What the owner brought goes before what the host says; a signed CEK still completes the host's unsigned one.
  const { pdh, pek, oca, ...rest } = fromHost;
  const host = {
    ...rest,
    ...(given.pdh === undefined ? { pdh } : {}),
    ...(given.pek === undefined ? { pek } : {}),
    ...(given.oca === undefined ? { oca } : {}),
  };
  return mergeChains(...parts, host);
}

/** Verifies the chain of the flags. Throws what reading and parsing throw. */
export function verifyGivenChain(
  args: Arguments,
  io: AttestIo,
  read: InputReader,
  fromHost?: ChainCertificates,
): ChainResult {
  return verifyChain(readChain(args, io, read, fromHost), readChainOptions(args, read));
}

export function readChainOptions(args: Arguments, read: InputReader): ChainOptions {
  const product = readProduct(args);
  const trusted = args.text('trusted-root');
  const chipId = args.text('chip-id');
  return {
    ...(product === undefined ? {} : { product }),
    ...(trusted === undefined ? {} : { trustedRoot: readTrustedRoot(trusted, read) }),
    ...(chipId === undefined ? {} : { chipId: parseChipId(chipId) }),
  };
}

export function readProduct(args: Arguments): Product | undefined {
  const name = args.text('product');
  if (name === undefined) return undefined;
  const known = PINNED_ROOTS.find(({ product }) => product === name.toLowerCase());
  if (known !== undefined) return known.product;
  throw usageError(
    `--product: unknown product '${clip(name)}'`,
    `Products: ${PINNED_ROOTS.map(({ product }) => product).join(', ')}. Bergamo and Siena are under genoa's root.`,
  );
}

/** GET_ID of one socket: in hex, as sevctl prints it, or in base64, as libvirt does. Throws `CLI_USAGE`. */
export function parseChipId(text: string): Uint8Array {
  const bytes = fromHex(text) ?? fromBase64(text);
  if (bytes?.length === CHIP_ID_BYTES) return bytes;
  throw usageError(
    `--chip-id: expected ${CHIP_ID_BYTES} bytes in hex or base64, got '${clip(text)}'`,
    'It is cpu0-id of `virsh nodesevinfo`, and what `sevctl show identifier` prints on the host.',
  );
}

function readTrustedRoot(path: string, read: InputReader) {
  const bytes = read.either('--trusted-root', path);
  return naming('--trusted-root', path, () => {
    const { ark } = ASK_ARK_LENGTHS.some((length) => length === bytes.length)
      ? parseAskArk(bytes)
      : { ark: parseAmdCaCertificate(bytes) };
    return ark;
  });
}

function parseChainOrExport(bytes: Uint8Array): ChainCertificates {
  return EXPORT_LENGTHS.some((length) => length === bytes.length) ? parseChainFile(bytes) : parseCertChain(bytes);
}
