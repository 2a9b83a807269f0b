import { equalBytes, toHex } from '../../core/bytes.ts';
import { PINNED_ROOTS } from '../certs/products.ts';
import { rsaKeyProblem } from '../certs/rsa-pss.ts';
import { attestationError } from '../errors.ts';
import { type AttestationResult, attestationResult } from '../result.ts';
import type { CertificateRevocationList } from '../snp/crl.ts';
import { PRODUCT_NAMES, SNP_PRODUCTS, type SnpProduct } from '../snp/tcb.ts';
import type { VekKind } from '../snp/vek.ts';
import { amdCommonName, verifyX509Signature, type X509Certificate } from '../snp/x509.ts';
import { type Decision, failed, type Ledger, type LedgerSnapshot, ledger, passed } from './chain-ledger.ts';
import { addCrlRows } from './snp-crl.ts';
import { SNP_SPEC, type SnpRowId, validAt } from './snp-rules.ts';

export interface SnpCaOptions {
  /** The moment to judge by: validity of certificates and revocation lists. */
  readonly at: Date;
  /** Refuse the root of any other product. */
  readonly product?: SnpProduct | undefined;
  /** A root other than AMD's that the caller trusts. */
  readonly trustedRoot?: X509Certificate | undefined;
  /** Of the ARK; without one, revocation is not looked at, and the row says so. */
  readonly crl?: CertificateRevocationList | undefined;
}

export interface SnpCaCertificates {
  readonly ark?: X509Certificate | undefined;
  /** ASK for a VCEK, ASVK for a VLEK. */
  readonly ask?: X509Certificate | undefined;
}

/** Who issues the keys that sign reports; one costs two RSA checks and serves any number of reports. */
export interface VerifiedSnpCa extends AttestationResult {
  readonly at: Date;
  readonly certificates: SnpCaCertificates;
  /** What the intermediate signs; `undefined` when its name does not say. */
  readonly issues: VekKind | undefined;
  /** By AMD's pinned keys, or by name under a root that the caller trusts. */
  readonly product: SnpProduct | undefined;
  readonly isAmd: boolean;
  readonly snapshot: LedgerSnapshot;
}

const CHAIN_HINT = 'AMD gives both at https://kdsintf.amd.com/vcek/v1/<product>/cert_chain; for a VLEK, at /vlek/v1/.';
const CLOCK_HINT = 'Check the time that is judged by; AMD issues each of these for 25 years.';

type CaRole = 'ark' | 'ask';

// RFC 5280, sections 4.2.1.3 and 4.2.1.9; certificate signing, with revocation lists for the ARK.
const KEY_USAGE = '551d0f';
const BASIC_CONSTRAINTS = '551d13';
const CA_EXTENSIONS: Readonly<Record<CaRole, readonly (readonly [oid: string, values: readonly string[]])[]>> = {
  ark: [
    [BASIC_CONSTRAINTS, ['30030101ff']],
    [KEY_USAGE, ['03020106']],
  ],
  ask: [
    [BASIC_CONSTRAINTS, ['30060101ff020100']],
    // AMD counts one unused bit where DER has two.
    [KEY_USAGE, ['03020104', '03020204']],
  ],
};

interface CaName {
  readonly role: CaRole;
  readonly issues: VekKind | undefined;
  readonly product: SnpProduct;
}

/** The place of a CA certificate in a chain, by its subject alone; `undefined` when it is none of AMD's names. */
export function caNameOf(certificate: X509Certificate): CaName | undefined {
  const name = amdCommonName(certificate.subject);
  for (const product of SNP_PRODUCTS) {
    const suffix = PRODUCT_NAMES[product];
    if (name === `ARK-${suffix}`) return { role: 'ark', issues: undefined, product };
    if (name === `SEV-${suffix}`) return { role: 'ask', issues: 'vcek', product };
    if (name === `SEV-VLEK-${suffix}`) return { role: 'ask', issues: 'vlek', product };
  }
  return undefined;
}

/**
 * Finds ARK and ASK or ASVK in a chain by their names, whatever their order; other certificates are left out.
 *
 * Throws `CHAIN_CERTIFICATES_CONFLICT` when one place is taken twice.
 */
export function sortSnpCa(certificates: readonly X509Certificate[]): SnpCaCertificates {
  const found: { ark?: X509Certificate; ask?: X509Certificate } = {};
  for (const certificate of certificates) {
    const role = caNameOf(certificate)?.role;
    if (role === undefined) continue;
    if (found[role] !== undefined) {
      throw attestationError(
        'CHAIN_CERTIFICATES_CONFLICT',
        `SEV-SNP chain: two certificates for the ${role.toUpperCase()}`,
      );
    }
    found[role] = certificate;
  }
  return found;
}

/**
 * Verifies ARK and ASK (or ASVK) in X.509 form: pinned root, names, CA flags, validity, signatures, revocation.
 *
 * What is missing gives incomplete rows. AMD 57230, chapter 3.
 */
export function verifySnpCa(certificates: SnpCaCertificates, options: SnpCaOptions): VerifiedSnpCa {
  const { ark, ask } = certificates;
  const book = ledger<SnpRowId>();
  const pin = PINNED_ROOTS.find((root) => root.arkSpkiSha256Hex === ark?.spkiSha256Hex);
  addArkRows(book, ark, pin !== undefined, options);
  addAskRows(book, certificates, options.at);
  addCrlRows(book, certificates, options);
  const snapshot = book.snapshot();
  const name = ask === undefined ? undefined : caNameOf(ask);
  return {
    ...attestationResult(snapshot.checks),
    at: options.at,
    certificates,
    issues: name?.issues,
    product: name?.product,
    isAmd: pin !== undefined,
    snapshot,
  };
}

function addArkRows(
  book: Ledger<SnpRowId>,
  ark: X509Certificate | undefined,
  isAmd: boolean,
  { at, product, trustedRoot }: SnpCaOptions,
): void {
  book.add({ id: 'snp.ark-well-formed', title: "the ARK has the form of AMD's root", spec: SNP_SPEC.kds }, () =>
    ark === undefined
      ? { outcome: 'incomplete', because: 'no ARK was given', hint: CHAIN_HINT }
      : caWellFormed(ark, 'ark'),
  );
  const requires = ['snp.ark-well-formed'] as const;
  book.add(
    {
      id: 'snp.ark-pinned',
      title: "the ARK is a root that is trusted: one of AMD's, or the one that the caller passed",
      spec: SNP_SPEC.pins,
      requires,
    },
    () =>
      isAmd || (trustedRoot !== undefined && trustedRoot.spkiSha256Hex === ark?.spkiSha256Hex)
        ? passed
        : failed('not AMD: no root key of AMD has this fingerprint', {
            expected: Object.fromEntries(PINNED_ROOTS.map((pin) => [pin.product, pin.arkSpkiSha256Hex])),
            actual: ark?.spkiSha256Hex ?? null,
          }),
  );
  book.add(
    { id: 'snp.root-is-amd', title: 'the root belongs to AMD', spec: SNP_SPEC.pins, requires: ['snp.ark-pinned'] },
    () =>
      isAmd
        ? passed
        : { outcome: 'skipped', because: 'not AMD: the caller trusts this root, AMD has no part in the verdict' },
  );
  if (product !== undefined) {
    book.add(
      { id: 'snp.root-of-product', title: `the root is the one of ${product}`, spec: SNP_SPEC.pins, requires },
      () => {
        const actual = ark === undefined ? undefined : caNameOf(ark)?.product;
        return actual === product
          ? passed
          : failed(`the root is the one of ${actual}`, { expected: product, actual: actual ?? null });
      },
    );
  }
  book.add(
    { id: 'snp.ark-valid-at-time', title: 'the ARK is valid at the given time', spec: SNP_SPEC.x509, requires },
    () => validAt(ark, at, CLOCK_HINT),
  );
  book.add({ id: 'snp.ark-self-signed', title: "the ARK's signature is its own", spec: SNP_SPEC.kds, requires }, () =>
    ark === undefined ? failed('no ARK') : signatureDecision(ark, ark),
  );
}

function addAskRows(book: Ledger<SnpRowId>, { ark, ask }: SnpCaCertificates, at: Date): void {
  book.add({ id: 'snp.ask-well-formed', title: 'the ASK or ASVK has the form of an AMD CA', spec: SNP_SPEC.kds }, () =>
    ask === undefined
      ? { outcome: 'incomplete', because: 'no ASK or ASVK was given', hint: CHAIN_HINT }
      : caWellFormed(ask, 'ask'),
  );
  const requires = ['snp.ark-well-formed', 'snp.ask-well-formed'] as const;
  book.add(
    {
      id: 'snp.ca-names',
      title: 'ARK and ASK are of one product, each issued by the ARK',
      spec: SNP_SPEC.kds,
      requires,
    },
    () => {
      if (ark === undefined || ask === undefined) return failed('no ARK or ASK');
      if (!equalBytes(ark.issuer, ark.subject)) return failed('the issuer of the ARK is not the ARK');
      if (!equalBytes(ask.issuer, ark.subject)) return failed('the issuer of the ASK is not the ARK');
      const [expected, actual] = [caNameOf(ark)?.product ?? null, caNameOf(ask)?.product ?? null];
      return expected === actual
        ? passed
        : failed(`the ASK is of ${actual}, the ARK of ${expected}`, { expected, actual });
    },
  );
  book.add(
    {
      id: 'snp.ask-valid-at-time',
      title: 'the ASK or ASVK is valid at the given time',
      spec: SNP_SPEC.x509,
      requires: ['snp.ask-well-formed'],
    },
    () => validAt(ask, at, CLOCK_HINT),
  );
  book.add(
    {
      id: 'snp.ask-signed-by-ark',
      title: 'the ARK signed the ASK or ASVK',
      spec: SNP_SPEC.kds,
      requires,
      reliesOn: ['snp.ark-pinned', 'snp.root-of-product', 'snp.ark-self-signed'],
    },
    () => (ark === undefined || ask === undefined ? failed('no ARK or ASK') : signatureDecision(ask, ark)),
  );
}

function caWellFormed(certificate: X509Certificate, role: CaRole): Decision {
  const name = caNameOf(certificate);
  const label = role.toUpperCase();
  if (name?.role !== role) {
    return failed(`its subject is not that of an ${label}`, { actual: amdCommonName(certificate.subject) ?? null });
  }
  const { publicKey, extensions } = certificate;
  if (publicKey.kind !== 'rsa') return failed('its key is not an RSA key');
  if (publicKey.modulus.length !== 512)
    return failed(`its key has ${publicKey.modulus.length * 8} bits, expected 4096`);
  const problem = rsaKeyProblem(publicKey);
  if (problem !== undefined) return failed(problem);
  for (const [oid, values] of CA_EXTENSIONS[role]) {
    const extension = extensions.get(oid);
    const actual = extension === undefined ? null : toHex(extension.value);
    if (extension?.critical !== true || actual === null || !values.includes(actual)) {
      const name = oid === KEY_USAGE ? 'keyUsage' : 'basicConstraints';
      return failed(`${name} does not say, or not critically, that it is an ${label}`, { expected: values, actual });
    }
  }
  const foreign = [...extensions].find(
    ([oid, { critical }]) => critical && oid !== KEY_USAGE && oid !== BASIC_CONSTRAINTS,
  );
  return foreign === undefined ? passed : failed(`extension ${foreign[0]} (hex) is critical, and unknown`);
}

export function signatureDecision(
  document: Pick<X509Certificate, 'signed' | 'signatureAlgorithm' | 'signature'>,
  signer: X509Certificate,
): Decision {
  const verdict = verifyX509Signature(document, signer);
  return verdict.verified ? passed : failed(verdict.because);
}
