import type { AmdCaCertificate } from './amd-ca.ts';
import { rsaSpkiSha256Hex } from './rsa-pss.ts';

/** A line of EPYC processors with an AMD root key of its own. Bergamo and Siena are under Genoa's. */
export type Product = 'naples' | 'rome' | 'milan' | 'genoa' | 'turin';

export interface PinnedRoot {
  readonly product: Product;
  /** SHA-256 of the DER SubjectPublicKeyInfo of the ARK. PSS is randomised: the file is not the identity, the key is. */
  readonly arkSpkiSha256Hex: string;
  readonly askSpkiSha256Hex: string;
  /** Where AMD publishes ASK and ARK. */
  readonly url: string;
  /** What the fingerprints were computed from, and when. */
  readonly source: string;
  readonly date: string;
}

const askArkUrl = (product: Product) => `https://developer.amd.com/wp-content/resources/ask_ark_${product}.cert`;

const pin = (product: Product, arkSpkiSha256Hex: string, askSpkiSha256Hex: string): PinnedRoot => ({
  product,
  arkSpkiSha256Hex,
  askSpkiSha256Hex,
  url: askArkUrl(product),
  source: `github.com/virtee/sev src/certs/sev/builtin/${product} at commit 9cf2adbffa20`,
  date: '2026-11-23',
});

/** AMD's root keys. For Milan, Genoa and Turin they are the same keys as in the SEV-SNP X.509 certificates. */
export const PINNED_ROOTS: readonly PinnedRoot[] = [
  pin(
    'naples',
    '3a04f8f1347de206c9206a81148ba4ef0a233b245d43a15dd82de043bb3e4f69',
    '7a3f8d54ba053a7f68fc6117c0392be4c332783e9d9e53b90d42bc7b79830a9f',
  ),
  pin(
    'rome',
    '7447ffa21e2b938bfade89f5e9066c00a328813bfc43685605cceabd18da6fde',
    '9bb73c0c50457cf090f9df877c4b4f26368b84d4e4c17e938654c11d90084321',
  ),
  pin(
    'milan',
    '9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9',
    '42491669ccb851d627ea9846cd24eccbeb7de7c2a62740120fff88001d38ebb6',
  ),
  pin(
    'genoa',
    '429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831',
    '0324d55bcd48ba877a8fd87c0e1b4934dec8448e3807a24384a34dc6a6c9ebb8',
  ),
  pin(
    'turin',
    '4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08',
    '0000ead352025f208bf55297c4192c34cd1b878002107366d8f2065a9ae7d3a9',
  ),
];

/** The product that a CA key belongs to, by its public key alone; `undefined` when it is not AMD's. */
export function productOfCaKey(certificate: AmdCaCertificate): Product | undefined {
  const fingerprint = rsaSpkiSha256Hex(certificate);
  const known = certificate.usage === 'ARK' ? 'arkSpkiSha256Hex' : 'askSpkiSha256Hex';
  return PINNED_ROOTS.find((root) => root[known] === fingerprint)?.product;
}

interface CpuModels {
  readonly product: Product;
  readonly family: number;
  readonly models: readonly (readonly [first: number, last: number])[];
}

// AMD "Versioned Chip Endorsement Key" 57230 and the revision guides of each family.
const CPU_MODELS: readonly CpuModels[] = [
  { product: 'naples', family: 0x17, models: [[0x00, 0x0f]] },
  { product: 'rome', family: 0x17, models: [[0x30, 0x3f]] },
  { product: 'milan', family: 0x19, models: [[0x00, 0x0f]] },
  {
    product: 'genoa',
    family: 0x19,
    models: [
      [0x10, 0x1f],
      [0xa0, 0xaf],
    ],
  },
  { product: 'turin', family: 0x1a, models: [[0x00, 0x11]] },
];

/** The product of a CPU family and model as `/proc/cpuinfo` prints them; `undefined` when it has no known root. */
export function productOfCpu(family: number, model: number): Product | undefined {
  return CPU_MODELS.find(
    (cpu) => cpu.family === family && cpu.models.some(([first, last]) => model >= first && model <= last),
  )?.product;
}
