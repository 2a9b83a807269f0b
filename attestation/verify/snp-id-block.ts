import { toHex } from '../../core/bytes.ts';
import { hexNumber } from '../abi/fields.ts';
import { isOnCurve, verifyEcdsaSha384 } from '../certs/p384.ts';
import { type AttestationResult, attestationResult } from '../result.ts';
import { computeIdKeyDigest, encodeIdBlock, encodeIdPublicKey, type IdAuth, type IdBlock } from '../snp/id-block.ts';
import type { SnpReport } from '../snp/report.ts';
import { type Decision, failed, type Ledger, ledger, passed } from './chain-ledger.ts';

export type IdBlockRowId =
  | 'id-block.id-key-on-curve'
  | 'id-block.signed-by-id-key'
  | 'id-block.author-key-on-curve'
  | 'id-block.id-key-signed-by-author'
  | 'id-block.report-matches';

export interface IdBlockEvidence {
  readonly block: IdBlock;
  readonly auth: IdAuth;
  /** The report of a guest that was launched with this block. Verify it first. */
  readonly report?: SnpReport | undefined;
}

const SPEC = 'SEV-SNP ABI 56860 rev 1.58, section 8.18';

/** Did the holder of the ID key sign the block, and the author the ID key; and does a report carry both? */
export function verifyIdBlock({ block, auth, report }: IdBlockEvidence): AttestationResult {
  const book = ledger<IdBlockRowId>();
  book.add({ id: 'id-block.id-key-on-curve', title: 'the ID key is a point on P-384', spec: SPEC }, () =>
    isOnCurve(auth.idKey) ? passed : failed('it is not on the curve'),
  );
  book.add(
    {
      id: 'id-block.signed-by-id-key',
      title: 'the ID key signed the ID block',
      spec: SPEC,
      requires: ['id-block.id-key-on-curve'],
    },
    () =>
      verifyEcdsaSha384(auth.idKey, encodeIdBlock(block), auth.idBlockSignature)
        ? passed
        : failed('the signature does not match'),
  );
  addAuthorRows(book, auth);
  if (report !== undefined) {
    book.add({ id: 'id-block.report-matches', title: 'the report is of a guest with this ID block', spec: SPEC }, () =>
      reportMatches(block, auth, report),
    );
  }
  return attestationResult(book.snapshot().checks);
}

function addAuthorRows(book: Ledger<IdBlockRowId>, { idKey, author }: IdAuth): void {
  const none: Decision = { outcome: 'skipped', because: 'the page names no author' };
  book.add({ id: 'id-block.author-key-on-curve', title: 'the author key is a point on P-384', spec: SPEC }, () => {
    if (author === undefined) return none;
    return isOnCurve(author.key) ? passed : failed('it is not on the curve');
  });
  book.add(
    {
      id: 'id-block.id-key-signed-by-author',
      title: 'the author signed the ID key',
      spec: SPEC,
      reliesOn: ['id-block.author-key-on-curve'],
    },
    () => {
      if (author === undefined) return none;
      return verifyEcdsaSha384(author.key, encodeIdPublicKey(idKey), author.idKeySignature)
        ? passed
        : failed('the signature does not match');
    },
  );
}

function reportMatches(block: IdBlock, { idKey, author }: IdAuth, report: SnpReport): Decision {
  const authorDigest = author === undefined ? new Uint8Array(48) : computeIdKeyDigest(author.key);
  const claims: [name: string, expected: string, actual: string][] = [
    ['measurement', toHex(block.launchDigest), toHex(report.measurement)],
    ['FAMILY_ID', toHex(block.familyId), toHex(report.familyId)],
    ['IMAGE_ID', toHex(block.imageId), toHex(report.imageId)],
    ['GUEST_SVN', String(block.guestSvn), String(report.guestSvn)],
    ['policy', hexNumber(block.policy, 5), hexNumber(report.policy, 5)],
    ['ID_KEY_DIGEST', toHex(computeIdKeyDigest(idKey)), toHex(report.idKeyDigest)],
    ['AUTHOR_KEY_DIGEST', toHex(authorDigest), toHex(report.authorKeyDigest)],
    ['AUTHOR_KEY_EN', String(author !== undefined), String(report.authorKeyEnabled)],
  ];
  const [name, expected, actual] = claims.find((claim) => claim[1] !== claim[2]) ?? [];
  if (name === undefined || expected === undefined || actual === undefined) return passed;
  return failed(`${name} differs`, { expected, actual });
}
