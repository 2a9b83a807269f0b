import { describe, expect, it } from 'vitest';
import { generateEcKeyPair } from '../certs/p384.ts';
import { computeIdKeyDigest, encodeIdBlock, encodeIdPublicKey, type IdAuth, type IdBlock } from '../snp/id-block.ts';
import type { SnpReport } from '../snp/report.ts';
import { seededRandom } from '../testing/seeded-random.ts';
import { signEcdsaSha384 } from '../testing/signing.ts';
import { forgeSnp } from '../testing/snp-platform.ts';
import { type IdBlockRowId, verifyIdBlock } from './snp-id-block.ts';

const random = seededRandom('ID block');
const [idKey, author, stranger] = [generateEcKeyPair(random), generateEcKeyPair(random), generateEcKeyPair(random)];
const { report: forged } = forgeSnp();
const { measurement: launchDigest, familyId, imageId, guestSvn, policy } = forged;
const block: IdBlock = { launchDigest, familyId, imageId, guestSvn, policy };
const auth: IdAuth = {
  idBlockSignature: signEcdsaSha384(idKey, encodeIdBlock(block)),
  idKey: idKey.point,
  author: { key: author.point, idKeySignature: signEcdsaSha384(author, encodeIdPublicKey(idKey.point)) },
};
const report: SnpReport = {
  ...forged,
  idKeyDigest: computeIdKeyDigest(idKey.point),
  authorKeyDigest: computeIdKeyDigest(author.point),
  authorKeyEnabled: true,
};
const off = { x: new Uint8Array(48), y: new Uint8Array(48) };

function failed(given: { block?: Partial<IdBlock>; auth?: Partial<IdAuth>; report?: Partial<SnpReport> }): string[] {
  const { checks } = verifyIdBlock({
    block: { ...block, ...given.block },
    auth: { ...auth, ...given.auth },
    report: { ...report, ...given.report },
  });
  return checks.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id);
}

describe('verifyIdBlock', () => {
  it('passes a block that its key signed, whose key its author signed, in a report of that guest', () => {
    const result = verifyIdBlock({ block, auth, report });
    expect(result.checks.map(({ outcome }) => outcome)).toEqual(['passed', 'passed', 'passed', 'passed', 'passed']);
    expect(result.ok).toBe(true);
  });

  it('passes a block without author, whose report names none', () => {
    const alone = { ...report, authorKeyEnabled: false, authorKeyDigest: new Uint8Array(48) };
    expect(verifyIdBlock({ block, auth: { ...auth, author: undefined }, report: alone }).ok).toBe(true);
  });

  it.each<[string, Parameters<typeof failed>[0], IdBlockRowId[]]>([
    ['another policy', { block: { policy: 0xb_0000n } }, ['id-block.signed-by-id-key', 'id-block.report-matches']],
    [
      'a signature of another key',
      { auth: { idBlockSignature: signEcdsaSha384(stranger, encodeIdBlock(block)) } },
      ['id-block.signed-by-id-key'],
    ],
    [
      'an ID key off the curve',
      { auth: { idKey: off, author: undefined }, report: { authorKeyEnabled: false } },
      ['id-block.id-key-on-curve', 'id-block.report-matches'],
    ],
    [
      'an author off the curve',
      { auth: { author: { key: off, idKeySignature: auth.idBlockSignature } } },
      ['id-block.author-key-on-curve', 'id-block.report-matches'],
    ],
    [
      'an author who signed something else',
      { auth: { author: { key: author.point, idKeySignature: auth.idBlockSignature } } },
      ['id-block.id-key-signed-by-author'],
    ],
    [
      'a report of another guest',
      { report: { measurement: new Uint8Array(48) as typeof launchDigest } },
      ['id-block.report-matches'],
    ],
    ['a report of another key', { report: { idKeyDigest: new Uint8Array(48) } }, ['id-block.report-matches']],
    ['a report of another author', { report: { authorKeyDigest: new Uint8Array(48) } }, ['id-block.report-matches']],
    ['a report without author', { report: { authorKeyEnabled: false } }, ['id-block.report-matches']],
    ['a report of an older guest', { report: { guestSvn: 0 } }, ['id-block.report-matches']],
  ])('refuses %s', (_, given, rows) => {
    expect(failed(given)).toEqual(rows);
  });
});
