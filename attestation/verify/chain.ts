import { type ChainCertificates, sameCa } from '../certs/chain-files.ts';
import { isScalar, verifyEcdsaSha256 } from '../certs/p384.ts';
import { type SevCertificate, signedBytes } from '../certs/sev-certificate.ts';
import { attestationError } from '../errors.ts';
import { type AttestationResult, attestationResult } from '../result.ts';
import { type Decision, failed, type Ledger, ledger, passed } from './chain-ledger.ts';
import { type RootIdentity, type RootOptions, type VerifiedRoots, verifyRoots } from './chain-roots.ts';
import { type ChainRowId, SPEC, sevCertificateProblems } from './chain-rules.ts';

/** `incomplete`: everything that is there verifies, but a link is missing. Not to be trusted. */
export type ChainVerdict = 'valid' | 'invalid' | 'incomplete';

export interface ChainResult extends AttestationResult {
  readonly verdict: ChainVerdict;
  /** `undefined` when no usable ARK was given. */
  readonly root: RootIdentity | undefined;
}

export type ChainOptions = {
  /** The certificate that is to be trusted in the end; `pdh` unless said otherwise. */
  readonly leaf?: 'pdh' | 'pek' | 'cek' | undefined;
} & (
  | (RootOptions & { readonly roots?: undefined })
  | ({ readonly [Option in keyof RootOptions]?: undefined } & {
      /** The result of `verifyRoots`: ARK, ASK and, when it is the same, CEK are not verified again. */
      readonly roots: VerifiedRoots;
    })
);

/** Rows that must all have passed before a leaf is anchored; the ledger's skipping is not trusted with it alone. */
const ANCHORS: Readonly<Record<'pdh' | 'pek' | 'cek', readonly ChainRowId[]>> = (() => {
  const cek: ChainRowId[] = [
    'chain.ark-pinned',
    'chain.ark-self-signed',
    'chain.ask-signed-by-ark',
    'chain.cek-not-revoked',
    'chain.cek-signed-by-ask',
  ];
  const pek: ChainRowId[] = [...cek, 'chain.pek-signed-by-cek'];
  return { cek, pek, pdh: [...pek, 'chain.pdh-signed-by-pek'] };
})();

/**
 * Verifies a platform's chain: PDH by PEK, PEK by CEK and OCA, CEK by ASK, ASK by ARK, ARK pinned to AMD's keys.
 *
 * Never fetches anything. A missing or unsigned certificate makes the verdict incomplete, save for the OCA: it is the
 * platform owner's and has no part in the anchor. With `roots` the cost is at most four ECDSA verifications.
 * Throws `CHAIN_CERTIFICATES_CONFLICT` when `roots` were verified from another ARK or ASK than is given here.
 * SEV API 55766 rev 3.24, appendix C.
 */
export function verifyChain(certificates: ChainCertificates, options: ChainOptions = {}): ChainResult {
  const roots = options.roots === undefined ? verifyRoots(certificates, options) : known(options.roots, certificates);
  const book = ledger<ChainRowId>();
  book.adopt(roots.snapshot);
  const leaf = options.leaf ?? 'pdh';
  const cek = certificates.cek ?? roots.certificates.cek;
  if (leaf !== 'cek') {
    addOcaRows(book, certificates.oca);
    addPekRows(book, certificates.pek, certificates.oca, cek);
  }
  if (leaf === 'pdh') addPdhRows(book, certificates.pdh, certificates.pek);

  const { ok, checks } = attestationResult(book.snapshot().checks);
  const anchored = ANCHORS[leaf].every((id) => checks.some((row) => row.id === id && row.outcome === 'passed'));
  const invalid = checks.some((row) => row.outcome === 'failed');
  return {
    ok: ok && anchored,
    verdict: invalid ? 'invalid' : ok && anchored ? 'valid' : 'incomplete',
    checks,
    root: roots.root,
  };
}

function known(roots: VerifiedRoots, certificates: ChainCertificates): VerifiedRoots {
  for (const role of ['ark', 'ask'] as const) {
    const [verified, given] = [roots.certificates[role], certificates[role]];
    if (given !== undefined && (verified === undefined || !sameCa(verified, given))) {
      throw attestationError(
        'CHAIN_CERTIFICATES_CONFLICT',
        `the chain's ${role.toUpperCase()} is not the one that the given roots were verified from`,
        { details: { role } },
      );
    }
  }
  return certificates.cek === undefined ? roots : roots.withCek(certificates.cek);
}

function addOcaRows(book: Ledger<ChainRowId>, oca: SevCertificate | undefined): void {
  book.add({ id: 'chain.oca-well-formed', title: "the OCA has the form of an owner's key", spec: SPEC.sev }, () =>
    oca === undefined
      ? { outcome: 'skipped', because: "no OCA was given; the anchor to AMD is the CEK's signature on the PEK" }
      : sevCertificateProblems(oca, 'OCA'),
  );
  book.add(
    {
      id: 'chain.oca-self-signed',
      title: "the OCA's signature is its own",
      spec: SPEC.sev,
      requires: ['chain.oca-well-formed'],
    },
    () => ecdsaSignature(oca, oca, 'OCA'),
  );
}

function addPekRows(
  book: Ledger<ChainRowId>,
  pek: SevCertificate | undefined,
  oca: SevCertificate | undefined,
  cek: SevCertificate | undefined,
): void {
  book.add({ id: 'chain.pek-well-formed', title: "the PEK has the form of a platform's key", spec: SPEC.sev }, () =>
    pek === undefined ? missing('PEK') : sevCertificateProblems(pek, 'PEK'),
  );
  book.add(
    {
      id: 'chain.pek-signed-by-oca',
      title: 'the OCA signed the PEK',
      spec: SPEC.sev,
      requires: ['chain.pek-well-formed', 'chain.oca-well-formed'],
      reliesOn: ['chain.oca-self-signed'],
    },
    () => ecdsaSignature(pek, oca, 'OCA'),
  );
  book.add(
    {
      id: 'chain.pek-signed-by-cek',
      title: 'the CEK signed the PEK',
      spec: SPEC.sev,
      requires: ['chain.pek-well-formed', 'chain.cek-well-formed'],
      reliesOn: ['chain.cek-not-revoked', 'chain.cek-signed-by-ask'],
    },
    () => ecdsaSignature(pek, cek, 'CEK'),
  );
}

function addPdhRows(book: Ledger<ChainRowId>, pdh: SevCertificate | undefined, pek: SevCertificate | undefined): void {
  book.add({ id: 'chain.pdh-well-formed', title: 'the PDH has the form of a key-agreement key', spec: SPEC.sev }, () =>
    pdh === undefined ? missing('PDH') : sevCertificateProblems(pdh, 'PDH'),
  );
  book.add(
    {
      id: 'chain.pdh-signed-by-pek',
      title: 'the PEK signed the PDH',
      spec: SPEC.sev,
      requires: ['chain.pdh-well-formed', 'chain.pek-well-formed'],
      reliesOn: ['chain.pek-signed-by-cek', 'chain.pek-signed-by-oca'],
    },
    () => ecdsaSignature(pdh, pek, 'PEK'),
  );
}

function missing(role: 'PEK' | 'PDH'): Decision {
  return {
    outcome: 'incomplete',
    because: `no ${role} was given`,
    hint: "libvirt's nodesevinfo and QEMU's query-sev-capabilities give PDH and cert-chain, in base64.",
  };
}

/** The signature of `signer` on `certificate`; both are well-formed, or there is no row to decide. */
function ecdsaSignature(
  certificate: SevCertificate | undefined,
  signer: SevCertificate | undefined,
  signerRole: 'OCA' | 'PEK' | 'CEK',
): Decision {
  if (certificate === undefined || signer === undefined) return failed('a certificate is missing');
  const slot = certificate.slots.find((candidate) => candidate?.signer === signerRole);
  if (slot === undefined) return failed(`no signature slot names the ${signerRole}`);
  if (slot.algorithm !== 'ECDSA-SHA256') {
    return failed('the signature algorithm is not the one of SEV keys', {
      expected: 'ECDSA-SHA256',
      actual: slot.algorithm,
    });
  }
  if (!isScalar(slot.r) || !isScalar(slot.s)) return failed('R or S is not in 1..n-1');
  return verifyEcdsaSha256(signer.publicKey, signedBytes(certificate), slot)
    ? passed
    : failed(`the ECDSA signature does not verify with the ${signerRole}'s key`);
}
