import { createHash } from 'node:crypto';
import { concatBytes, equalBytes, isAllZero, toHex } from '../../core/bytes.ts';
import { verifyEcdsaSha384 } from '../certs/p384.ts';
import { productOfCpu } from '../certs/products.ts';
import { type AttestationResult, attestationResult } from '../result.ts';
import type { HclRuntimeData } from '../snp/hcl.ts';
import { type SnpReport, signedReportBytes } from '../snp/report.ts';
import { hwidLength } from '../snp/vek.ts';
import { type Decision, failed, type Ledger, ledger, passed } from './chain-ledger.ts';
import { SNP_SPEC, type SnpRowId } from './snp-rules.ts';
import type { VerifiedVek } from './snp-vek.ts';

/** A report and what came with it. */
export interface SnpEvidence {
  readonly report: SnpReport;
  /** What a paravisor says that it hashed into REPORT_DATA. */
  readonly runtimeData?: HclRuntimeData | undefined;
}

/**
 * Is a report authentic: signed by a verified VCEK or VLEK, at the TCB and on the chip that this key stands for?
 *
 * Says nothing about whether the guest is the one that was wanted: `validateSnpReport`. SEV-SNP ABI 56860, section 7.3.
 */
export function verifySnpReport({ report, runtimeData }: SnpEvidence, vek: VerifiedVek): AttestationResult {
  const book = ledger<SnpRowId>();
  book.adopt(vek.snapshot);
  const label = vek.kind.toUpperCase();
  const requires = ['snp.vek-well-formed'] as const;
  book.add(
    { id: 'snp.report-signing-key', title: `the report says that a ${label} signed it`, spec: SNP_SPEC.report },
    () =>
      report.signingKey === vek.kind
        ? passed
        : failed('it names another key', { expected: vek.kind, actual: report.signingKey }),
  );
  book.add(
    {
      id: 'snp.report-cpu-of-product',
      title: "the report comes from a processor of the CA's product",
      spec: SNP_SPEC.report,
      requires: ['snp.ask-well-formed'],
    },
    () => cpuOfProduct(report, vek),
  );
  book.add(
    {
      id: 'snp.report-tcb-matches-vek',
      title: `the reported TCB is the one that the ${label} stands for`,
      spec: SNP_SPEC.kds,
      requires,
    },
    () => {
      const [expected, actual] = [vek.claims?.tcbBytes ?? new Uint8Array(), report.reportedTcb];
      return equalBytes(expected, actual)
        ? passed
        : failed('a security version differs', { expected: toHex(expected), actual: toHex(actual) });
    },
  );
  book.add(
    {
      id: 'snp.report-chip-id-matches-vek',
      title: 'the report comes from the chip that the VCEK was issued for',
      spec: SNP_SPEC.kds,
      requires,
    },
    () => chipIdMatches(report, vek),
  );
  book.add(
    {
      id: 'snp.report-signature',
      title: `the ${label} signed the report`,
      spec: SNP_SPEC.report,
      requires,
      reliesOn: ['snp.vek-signed-by-ca', 'snp.vek-names', 'snp.report-signing-key'],
    },
    () => {
      const key = vek.certificate?.publicKey;
      if (key?.kind !== 'p384') return failed('no P-384 key');
      return verifyEcdsaSha384(key.point, signedReportBytes(report), report.signature)
        ? passed
        : failed('the signature does not match', {
            hint: 'The report was changed, or this is the key of another chip or another TCB.',
          });
    },
  );
  if (runtimeData !== undefined) addRuntimeDataRow(book, report, runtimeData);
  return attestationResult(book.snapshot().checks);
}

/** Does REPORT_DATA bind the runtime data of an Azure guest? Says nothing about whether the report is authentic. */
export function verifyRuntimeData(report: SnpReport, runtimeData: HclRuntimeData): AttestationResult {
  const book = ledger<SnpRowId>();
  addRuntimeDataRow(book, report, runtimeData);
  return attestationResult(book.snapshot().checks);
}

function addRuntimeDataRow(book: Ledger<SnpRowId>, report: SnpReport, { hash, json }: HclRuntimeData): void {
  book.add(
    {
      id: 'snp.report-data-binds-runtime-data',
      title: `REPORT_DATA is the ${hash} of the runtime data, zero behind it`,
      spec: SNP_SPEC.hcl,
    },
    () => {
      const digest = createHash(hash).update(json).digest();
      const expected = concatBytes(digest, new Uint8Array(report.reportData.length - digest.length));
      return equalBytes(expected, report.reportData)
        ? passed
        : failed('the runtime data is not what the report was asked for', {
            expected: toHex(expected),
            actual: toHex(report.reportData),
          });
    },
  );
}

function cpuOfProduct(report: SnpReport, vek: VerifiedVek): Decision {
  const expected = vek.ca.product ?? null;
  if (report.cpu === undefined) {
    return { outcome: 'skipped', because: `version ${report.version} of the report does not name the processor` };
  }
  const { family, model } = report.cpu;
  const actual = productOfCpu(family, model) ?? null;
  return actual === expected
    ? passed
    : failed(`family ${family}, model ${model} is ${actual ?? 'not known'}`, { expected, actual });
}

function chipIdMatches(report: SnpReport, vek: VerifiedVek): Decision {
  const { claims } = vek;
  if (claims?.hwid === undefined) return { outcome: 'skipped', because: 'a VLEK is not the key of one chip' };
  if (report.chipKeyMasked) {
    return failed('the chip id is masked (MASK_CHIP_KEY), so no VCEK can be told to be its key', {
      hint: 'Use a VLEK, or clear MASK_CHIP_KEY on the host.',
    });
  }
  const used = hwidLength(claims.product);
  const same = equalBytes(report.chipId.subarray(0, used), claims.hwid) && isAllZero(report.chipId.subarray(used));
  return same ? passed : failed('it is another chip', { expected: toHex(claims.hwid), actual: toHex(report.chipId) });
}
