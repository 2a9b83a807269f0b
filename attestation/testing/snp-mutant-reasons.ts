/** What the Python check that came with the vectors says about mutants, in our rows and codes; one of them must be there. */
const REASONS: readonly (readonly [theirs: RegExp, ours: readonly string[]])[] = [
  [/^report_signature|^policy reserved/, ['snp.report-signature', 'snp.report-signing-key', 'SNP_REPORT_MALFORMED']],
  [/^reserved|^structure|^report (version|length)|^signature algorithm|^vmpl/, ['SNP_REPORT_MALFORMED']],
  [
    /^vek_signed|^\('Could not|RSAPublicKey/,
    ['snp.vek-signed-by-ca', 'snp.vek-well-formed', 'snp.vek-names', 'X509_MALFORMED'],
  ],
  [/^DER|^trailing bytes( after certificate)?$|^time form/, ['X509_MALFORMED', 'CRL_MALFORMED']],
  [/^signing_key/, ['snp.report-signing-key', 'snp.vek-well-formed']],
  [/^cpuid_generation/, ['snp.report-cpu-of-product']],
  [/^validity/, ['snp.vek-valid-at-time', 'snp.ark-valid-at-time']],
  [/^ask_signed_by_ark/, ['snp.ask-signed-by-ark', 'snp.ca-names', 'X509_MALFORMED']],
  [/^exception .*(padding|unpack)/, ['X509_MALFORMED']],
  [/^chain must hold/, ['snp.ark-well-formed', 'snp.ask-well-formed', 'CHAIN_CERTIFICATES_CONFLICT']],
  [/^names/, ['snp.root-of-product']],
  [/^crl_signature/, ['snp.crl-signed-by-ark', 'CRL_MALFORMED']],
  [/^fresh/, ['snp.crl-fresh']],
  [
    /^id_block_(signature|bytes)|^id key Invalid/,
    ['id-block.signed-by-id-key', 'id-block.id-key-on-curve', 'ID_BLOCK_MALFORMED'],
  ],
  [/^id key curve|^algos|^ID auth length/, ['ID_BLOCK_MALFORMED']],
  [/^id_key_signed_by_author/, ['id-block.id-key-signed-by-author']],
  [/^exception ValueError\('Invalid EC key/, ['id-block.author-key-on-curve']],
  [/^report_data_binds/, ['snp.report-data-binds-runtime-data']],
  [/^HCL|^exception JSONDecode/, ['HCL_REPORT_MALFORMED']],
  [
    /^cert table|^duplicate cert|^trailing bytes after CBOR|^exception (IndexError|KeyError)/,
    ['SNP_EVIDENCE_MALFORMED'],
  ],
  [/^no VCEK in/, ['snp.vek-well-formed', 'SNP_EVIDENCE_MALFORMED']],
];

/** Rows and error codes that a mutant of SEV-SNP evidence may be refused by. */
export function oursOf(theirs: Readonly<Record<string, number>>): string[] {
  return Object.keys(theirs).flatMap((reason) => {
    if (reason === '') return [];
    const known = REASONS.find(([pattern]) => pattern.test(reason));
    if (known === undefined) throw new Error(`no reason of ours for ${reason}`);
    return known[1];
  });
}
