/** Which kinds of shared vectors each `*.vectors.test.ts` runs, vectors and mutants; together, all that have mutants. */
export const VECTOR_KINDS = {
  chain: ['amd-ca-sev', 'sev-chain'],
  session: ['ecdh', 'kdf', 'session-blob', 'launch-secret'],
  measurement: ['launch-measure', 'launch-digest', 'vmsa'],
  snp: ['amd-ca-snp', 'vek-cert', 'crl', 'snp-report', 'tsm-report', 'hcl', 'coco-evidence', 'id-block'],
} as const satisfies Readonly<Record<string, readonly string[]>>;
