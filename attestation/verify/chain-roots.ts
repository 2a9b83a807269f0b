import { equalBytes, toHex } from '../../core/bytes.ts';
import type { JsonValue } from '../../core/errors.ts';
import { type AmdCaCertificate, signedCaBytes } from '../certs/amd-ca.ts';
import { cekUrl, signedCekUrl } from '../certs/cek-url.ts';
import { isUnsigned, sameSev } from '../certs/chain-files.ts';
import { type DeniedChip, deniedChip } from '../certs/denied-chips.ts';
import { PINNED_ROOTS, type Product } from '../certs/products.ts';
import { pssHashOf, rsaKeyProblem, rsaSpkiSha256Hex, verifyPss } from '../certs/rsa-pss.ts';
import { type SevCertificate, signedBytes } from '../certs/sev-certificate.ts';
import type { Check } from '../result.ts';
import { type Decision, failed, type Ledger, type LedgerSnapshot, ledger, passed } from './chain-ledger.ts';
import { type ChainRowId, SPEC, sevCertificateProblems } from './chain-rules.ts';

/** Who owns the root that a chain ends in. */
export interface RootIdentity {
  /** SHA-256 of the ARK's DER SubjectPublicKeyInfo. */
  readonly arkSpkiSha256Hex: string;
  /** False for a root that only the caller vouches for. */
  readonly isAmd: boolean;
  /** The processors that this root stands for; `undefined` when it is not AMD's. */
  readonly product: Product | undefined;
}

export interface RootOptions {
  /** A root other than AMD's that the caller trusts, an emulated platform's for instance. */
  readonly trustedRoot?: AmdCaCertificate | undefined;
  /** Refuse a root of any other product. */
  readonly product?: Product | undefined;
  /** GET_ID of the platform, 64 bytes, so that hints name the exact address of its signed CEK. */
  readonly chipId?: Uint8Array | undefined;
  /** Chips to refuse beside those on the built-in deny list. */
  readonly deniedChips?: readonly DeniedChip[] | undefined;
}

export interface RootCertificates {
  readonly ark?: AmdCaCertificate | undefined;
  readonly ask?: AmdCaCertificate | undefined;
  readonly cek?: SevCertificate | undefined;
}

/** What `verifyRoots` found, to be handed to any number of `verifyChain` calls. */
export interface VerifiedRoots {
  readonly checks: readonly Check[];
  readonly root: RootIdentity | undefined;
  readonly certificates: RootCertificates;
  readonly snapshot: LedgerSnapshot;
  /** The CEK's rows for another CEK under the same ARK and ASK; the one given to `verifyRoots` costs no RSA again. */
  readonly withCek: (cek: SevCertificate | undefined) => VerifiedRoots;
}

const AMD_ROOTS_HINT = `Download ASK and ARK from AMD: ${PINNED_ROOTS[0]?.url} (naples; rome, milan, genoa and turin alike).`;

/**
 * Verifies the part of a chain that needs RSA: ARK pinned and self-signed, ASK by ARK, CEK by ASK and not on the deny list.
 *
 * What is missing gives incomplete rows. SEV API 55766 rev 3.24, appendix C.2.
 */
export function verifyRoots(certificates: RootCertificates, options: RootOptions = {}): VerifiedRoots {
  const book = ledger<ChainRowId>();
  const root = addArkRows(book, certificates.ark, options);
  addAskRows(book, certificates.ark, certificates.ask);
  const ca = book.snapshot();

  const withCek = (cek: SevCertificate | undefined): VerifiedRoots => {
    const whole = ledger<ChainRowId>();
    whole.adopt(ca);
    addCekRows(whole, certificates.ask, cek, options);
    const snapshot = whole.snapshot();
    const verified: VerifiedRoots = {
      checks: snapshot.checks,
      root,
      certificates: { ...certificates, cek },
      snapshot,
      withCek: (other) => (sameCekOrNone(cek, other) ? verified : withCek(other)),
    };
    return verified;
  };
  return withCek(certificates.cek);
}

function sameCekOrNone(first: SevCertificate | undefined, second: SevCertificate | undefined): boolean {
  if (first === undefined || second === undefined) return first === second;
  return sameSev(first, second);
}

function addArkRows(
  book: Ledger<ChainRowId>,
  ark: AmdCaCertificate | undefined,
  options: RootOptions,
): RootIdentity | undefined {
  book.add({ id: 'chain.ark-well-formed', title: 'the ARK has the form of an AMD root key', spec: SPEC.ca }, () =>
    ark === undefined
      ? { outcome: 'incomplete', because: 'no ARK was given', hint: AMD_ROOTS_HINT }
      : caWellFormed(ark, 'ARK'),
  );
  const root = ark === undefined || rsaKeyProblem(ark) !== undefined ? undefined : identify(ark);
  book.add(
    {
      id: 'chain.ark-pinned',
      title: "the ARK is a root that is trusted: one of AMD's, or the one that the caller passed",
      spec: SPEC.pins,
      requires: ['chain.ark-well-formed'],
    },
    () => {
      const trusted =
        options.trustedRoot !== undefined && rsaSpkiSha256Hex(options.trustedRoot) === root?.arkSpkiSha256Hex;
      if (root?.isAmd || trusted) return { outcome: 'passed', actual: root?.product ?? 'trusted by the caller' };
      return failed('not AMD: no root key of AMD has this fingerprint', {
        expected: Object.fromEntries(PINNED_ROOTS.map((pin) => [pin.product, pin.arkSpkiSha256Hex])),
        ...(root === undefined ? {} : { actual: root.arkSpkiSha256Hex }),
        hint: "If this is the root of an emulated platform, pass it as the trusted root; a real platform ends in AMD's.",
      });
    },
  );
  book.add(
    {
      id: 'chain.root-is-amd',
      title: 'the root belongs to AMD',
      spec: SPEC.pins,
      requires: ['chain.ark-pinned'],
    },
    () =>
      root?.isAmd
        ? passed
        : { outcome: 'skipped', because: 'not AMD: the caller trusts this root, AMD has no part in the verdict' },
  );
  if (options.product !== undefined) {
    const expected = options.product;
    book.add(
      {
        id: 'chain.root-of-product',
        title: `the root is the one of ${expected}`,
        spec: SPEC.pins,
        requires: ['chain.ark-pinned'],
      },
      () =>
        root?.product === expected
          ? passed
          : failed(`the root is the one of ${root?.product ?? 'no AMD product'}, expected ${expected}`, {
              expected,
              actual: root?.product ?? null,
            }),
    );
  }
  book.add(
    {
      id: 'chain.ark-self-signed',
      title: "the ARK's signature is its own",
      spec: SPEC.ca,
      requires: ['chain.ark-well-formed'],
    },
    () => (ark === undefined ? failed('no ARK') : caSignature(ark, ark)),
  );
  return root;
}

function addAskRows(
  book: Ledger<ChainRowId>,
  ark: AmdCaCertificate | undefined,
  ask: AmdCaCertificate | undefined,
): void {
  book.add({ id: 'chain.ask-well-formed', title: 'the ASK has the form of an AMD CA key', spec: SPEC.ca }, () =>
    ask === undefined
      ? { outcome: 'incomplete', because: 'no ASK was given', hint: AMD_ROOTS_HINT }
      : caWellFormed(ask, 'ASK'),
  );
  const both = { requires: ['chain.ark-well-formed', 'chain.ask-well-formed'] as const };
  book.add(
    { id: 'chain.ca-ids-consistent', title: 'the key ids of ARK and ASK point to the ARK', spec: SPEC.ca, ...both },
    () => {
      if (ark === undefined || ask === undefined) return failed('no ARK or ASK');
      const ids: JsonValue = { ark: toHex(ark.certifyingId), ask: toHex(ask.certifyingId) };
      return equalBytes(ark.keyId, ark.certifyingId) && equalBytes(ark.keyId, ask.certifyingId)
        ? passed
        : failed('a certifying id is not the key id of the ARK', { expected: toHex(ark.keyId), actual: ids });
    },
  );
  book.add(
    {
      id: 'chain.ask-signed-by-ark',
      title: 'the ARK signed the ASK',
      spec: SPEC.ca,
      ...both,
      reliesOn: ['chain.ark-pinned', 'chain.ark-self-signed', 'chain.root-of-product'],
    },
    () => (ark === undefined || ask === undefined ? failed('no ARK or ASK') : caSignature(ask, ark)),
  );
}

function addCekRows(
  book: Ledger<ChainRowId>,
  ask: AmdCaCertificate | undefined,
  cek: SevCertificate | undefined,
  options: RootOptions,
): void {
  const url = options.chipId === undefined ? cekUrl('<GET_ID in hex>') : signedCekUrl(options.chipId);
  const hint = `Get the CEK that AMD signed from ${url} (\`sevctl show identifier\` prints the id) and pass it as the CEK.`;
  book.add({ id: 'chain.cek-well-formed', title: "the CEK has the form of a chip's key", spec: SPEC.sev }, () =>
    cek === undefined
      ? { outcome: 'incomplete', because: 'no CEK was given', hint }
      : sevCertificateProblems(cek, 'CEK'),
  );
  book.add(
    {
      id: 'chain.cek-not-revoked',
      title: 'the CEK is not on the deny list of extracted keys',
      spec: SPEC.denied,
      requires: ['chain.cek-well-formed'],
    },
    () => {
      const denied = cek === undefined ? undefined : (deniedChip(cek) ?? deniedChip(cek, options.deniedChips ?? []));
      return denied === undefined
        ? passed
        : failed(`${denied.what} (${denied.source})`, {
            actual: denied.cekSpkiSha256Hex,
            hint: 'Anyone who has this key can pose as this platform. Trust no guest to it.',
          });
    },
  );
  const unsigned = cek !== undefined && isUnsigned(cek);
  book.add(
    {
      id: 'chain.cek-signed-by-ask',
      title: 'the ASK signed the CEK',
      spec: SPEC.sev,
      requires: unsigned ? ['chain.cek-well-formed'] : ['chain.cek-well-formed', 'chain.ask-well-formed'],
      reliesOn: ['chain.ask-signed-by-ark', 'chain.ca-ids-consistent'],
    },
    () => {
      if (unsigned) {
        return { outcome: 'incomplete', because: 'the CEK carries no signature, as firmware exports it', hint };
      }
      return cek === undefined || ask === undefined ? failed('no CEK or ASK') : cekSignature(cek, ask);
    },
  );
}

function identify(ark: AmdCaCertificate): RootIdentity {
  const arkSpkiSha256Hex = rsaSpkiSha256Hex(ark);
  const product = PINNED_ROOTS.find((pin) => pin.arkSpkiSha256Hex === arkSpkiSha256Hex)?.product;
  return { arkSpkiSha256Hex, isAmd: product !== undefined, product };
}

function caWellFormed(certificate: AmdCaCertificate, role: 'ARK' | 'ASK'): Decision {
  if (certificate.usage !== role) {
    return failed(`its key usage is ${certificate.usage}`, { expected: role, actual: certificate.usage });
  }
  const problem = rsaKeyProblem(certificate);
  return problem === undefined ? passed : failed(problem);
}

function caSignature(certificate: AmdCaCertificate, signer: AmdCaCertificate): Decision {
  const verdict = verifyPss(signer, signedCaBytes(certificate), certificate.signature);
  return verdict.verified ? passed : failed(verdict.because);
}

function cekSignature(cek: SevCertificate, ask: AmdCaCertificate): Decision {
  const slot = cek.slots.find((candidate) => candidate?.signer === 'ASK');
  if (slot === undefined) return failed('no signature slot names the ASK');
  const expected = pssHashOf(ask) === 'sha256' ? 'RSA-PSS-SHA256' : 'RSA-PSS-SHA384';
  if (slot.algorithm !== expected || !('field' in slot)) {
    return failed('the signature algorithm does not fit the ASK', { expected, actual: slot.algorithm });
  }
  const unused = slot.field.length - ask.modulus.length;
  if (slot.field.subarray(0, unused).some((byte) => byte !== 0)) {
    return failed(`the signature field is not zero behind its ${ask.modulus.length} bytes`);
  }
  const verdict = verifyPss(ask, signedBytes(cek), slot.field.slice(unused));
  return verdict.verified ? passed : failed(verdict.because);
}
