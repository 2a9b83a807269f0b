/**
 * A start of the SEV firmware that failed, up to the status, as drivers/crypto/ccp/sev-dev.c prints it: `SEV: failed to
 * INIT error 0x13, rc -5`, and since about Linux 6.15 `SEV: INIT failed 0x13, rc -5`.
 */
export function initFailure(device = 'SEV(?:-SNP)?'): string {
  const failed = String.raw`failed to (?:INIT|get status\.)|(?:SNP_)?(?:INIT|INIT_EX|DF_FLUSH) failed`;
  return String.raw`\b${device}: (?:${failed})(?: rc -?\d+,)?(?: [Ee]rror:?)?`;
}
