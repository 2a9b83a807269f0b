import { equalBytes } from '../../core/bytes.ts';
import type { CertificateRevocationList } from '../snp/crl.ts';
import { verifyX509Signature, type X509Certificate } from '../snp/x509.ts';
import { failed, type Ledger, passed } from './chain-ledger.ts';
import { SNP_SPEC, type SnpRowId, shownTime } from './snp-rules.ts';

interface CrlOptions {
  readonly at: Date;
  readonly crl?: CertificateRevocationList | undefined;
}

const CRL_HINT = 'Fetch a fresh list from https://kdsintf.amd.com/vcek/v1/<product>/crl.';

/**
 * Rows of revocation: the list is the ARK's, it is fresh, and it names neither CA certificate.
 *
 * A list that is not fresh proves nothing, either way. Every VCEK and VLEK has the serial number 0, so none can be named.
 */
export function addCrlRows(
  book: Ledger<SnpRowId>,
  { ark, ask }: { readonly ark?: X509Certificate | undefined; readonly ask?: X509Certificate | undefined },
  { crl, at }: CrlOptions,
): void {
  if (crl === undefined) {
    book.add({ id: 'snp.ca-not-revoked', title: 'AMD has not revoked the ASK or ASVK', spec: SNP_SPEC.crl }, () => ({
      outcome: 'skipped',
      because: 'no revocation list was given',
    }));
    return;
  }
  book.add(
    {
      id: 'snp.crl-signed-by-ark',
      title: 'the ARK issued and signed the revocation list',
      spec: SNP_SPEC.crl,
      requires: ['snp.ark-well-formed'],
      reliesOn: ['snp.ark-pinned', 'snp.root-of-product', 'snp.ark-self-signed'],
    },
    () => {
      if (ark === undefined) return failed('no ARK');
      if (!equalBytes(crl.issuer, ark.subject)) return failed('its issuer is another');
      const verdict = verifyX509Signature(crl, ark);
      if (!verdict.verified) return failed(verdict.because);
      return crl.hasCriticalExtension ? failed('it has a critical extension, and none is known') : passed;
    },
  );
  book.add(
    {
      id: 'snp.crl-fresh',
      title: 'the revocation list is fresh at the given time',
      spec: SNP_SPEC.crl,
      requires: ['snp.crl-signed-by-ark'],
    },
    () => {
      const values = {
        expected: `${crl.thisUpdate.toISOString()} to ${crl.nextUpdate.toISOString()}`,
        actual: shownTime(at),
        hint: CRL_HINT,
      };
      if (at < crl.thisUpdate) return failed('it is from the future', values);
      return at <= crl.nextUpdate ? passed : failed('it is stale: a newer one was due', values);
    },
  );
  book.add(
    {
      id: 'snp.ca-not-revoked',
      title: 'AMD has not revoked the ASK or ASVK',
      spec: SNP_SPEC.crl,
      requires: ['snp.crl-fresh'],
    },
    () => {
      const listed = [ark, ask].find((ca) => ca !== undefined && crl.revokedSerialsHex.includes(ca.serialHex));
      return listed === undefined ? passed : failed('AMD revoked it', { actual: listed.serialHex });
    },
  );
}
