import { equalBytes } from '../../core/bytes.ts';
import { isSevHarnessError } from '../../core/errors.ts';
import { isOnCurve } from '../certs/p384.ts';
import { type AttestationResult, attestationResult } from '../result.ts';
import { readVekClaims, type VekClaims, type VekKind } from '../snp/vek.ts';
import { amdCommonName, type X509Certificate } from '../snp/x509.ts';
import { type Decision, failed, type LedgerSnapshot, ledger, passed } from './chain-ledger.ts';
import { signatureDecision, type VerifiedSnpCa } from './snp-ca.ts';
import { SNP_SPEC, type SnpRowId, validAt } from './snp-rules.ts';

/** A key that signs reports, and what AMD says about it. Serves any number of reports without RSA. */
export interface VerifiedVek extends AttestationResult {
  readonly certificate: X509Certificate | undefined;
  readonly kind: VekKind;
  /** `undefined` when its form is not that of a VCEK or VLEK. */
  readonly claims: VekClaims | undefined;
  readonly ca: VerifiedSnpCa;
  readonly snapshot: LedgerSnapshot;
}

const SUBJECTS: Readonly<Record<VekKind, string>> = { vcek: 'SEV-VCEK', vlek: 'SEV-VLEK' };

/**
 * Verifies a VCEK under an ASK, or a VLEK under an ASVK: form, names, product, validity, signature.
 *
 * The time is the one that the CA was verified for. AMD 57230, chapter 3.
 */
export function verifyVek(certificate: X509Certificate | undefined, ca: VerifiedSnpCa): VerifiedVek {
  const kind = ca.issues ?? 'vcek';
  const label = kind.toUpperCase();
  const form = certificate === undefined ? missing(label) : inspect(certificate, kind);
  const book = ledger<SnpRowId>();
  book.adopt(ca.snapshot);
  book.add(
    { id: 'snp.vek-well-formed', title: `the ${label} has the form that AMD gives it`, spec: SNP_SPEC.kds },
    () => form.decision,
  );
  const requires = ['snp.vek-well-formed', 'snp.ask-well-formed'] as const;
  book.add(
    {
      id: 'snp.vek-names',
      title: `the ${label} is of the CA's product, and issued by it`,
      spec: SNP_SPEC.kds,
      requires,
    },
    () => names(certificate, kind, form.claims, ca),
  );
  book.add(
    {
      id: 'snp.vek-valid-at-time',
      title: `the ${label} is valid at the given time`,
      spec: SNP_SPEC.x509,
      requires: ['snp.vek-well-formed'],
    },
    () => validAt(certificate, ca.at, `Fetch the ${label} again from AMD, or check the time that is judged by.`),
  );
  book.add(
    {
      id: 'snp.vek-signed-by-ca',
      title: `the ${kind === 'vcek' ? 'ASK' : 'ASVK'} signed the ${label}`,
      spec: SNP_SPEC.kds,
      requires,
      reliesOn: ['snp.ask-signed-by-ark', 'snp.ca-names', 'snp.ca-not-revoked'],
    },
    () =>
      certificate === undefined || ca.certificates.ask === undefined
        ? failed('no certificate')
        : signatureDecision(certificate, ca.certificates.ask),
  );
  const snapshot = book.snapshot();
  return { ...attestationResult(snapshot.checks), certificate, kind, claims: form.claims, ca, snapshot };
}

interface Form {
  readonly decision: Decision;
  readonly claims?: VekClaims;
}

function missing(label: string): Form {
  return {
    decision: {
      outcome: 'incomplete',
      because: `no ${label} was given`,
      hint: `Fetch the ${label} from https://kdsintf.amd.com for the chip id and reported TCB of the report.`,
    },
  };
}

function inspect(certificate: X509Certificate, kind: VekKind): Form {
  const { publicKey } = certificate;
  if (publicKey.kind !== 'p384') return { decision: failed('its key is not a P-384 key') };
  if (!isOnCurve(publicKey.point)) return { decision: failed('its public key is not a point on P-384') };
  try {
    return { decision: passed, claims: readVekClaims(certificate, kind) };
  } catch (error) {
    if (!isSevHarnessError(error, 'X509_MALFORMED')) throw error;
    return { decision: failed(error.message) };
  }
}

function names(
  certificate: X509Certificate | undefined,
  kind: VekKind,
  claims: VekClaims | undefined,
  ca: VerifiedSnpCa,
): Decision {
  const ask = ca.certificates.ask;
  if (certificate === undefined || ask === undefined) return failed('no certificate');
  const subject = amdCommonName(certificate.subject);
  if (subject !== SUBJECTS[kind]) {
    return failed('its subject is another', { expected: SUBJECTS[kind], actual: subject ?? null });
  }
  if (!equalBytes(certificate.issuer, ask.subject)) {
    const [expected, actual] = [amdCommonName(ask.subject) ?? null, amdCommonName(certificate.issuer) ?? null];
    return failed('its issuer is another', { expected, actual });
  }
  const [expected, actual] = [ca.product ?? null, claims?.product ?? null];
  return expected === actual ? passed : failed(`it is of ${actual}`, { expected, actual });
}
