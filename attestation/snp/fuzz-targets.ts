import { createHash } from 'node:crypto';
import { concatBytes } from '../../core/bytes.ts';
import { fieldWriter } from '../abi/fields.ts';
import { formatKdsUrl, parseKdsUrl } from '../kds/url.ts';
import { type FuzzTarget, parsing } from '../testing/fuzz-targets.ts';
import { forgeSnp, TCB } from '../testing/snp-platform.ts';
import { verifySnpCa } from '../verify/snp-ca.ts';
import { verifySnpReport } from '../verify/snp-report.ts';
import { verifyVek } from '../verify/snp-vek.ts';
import { parseCertTable } from './cert-table.ts';
import { parseCrl } from './crl.ts';
import { parseCocoEvidence, parseReportResponse, parseTsmReport } from './evidence.ts';
import { parseHclReport } from './hcl.ts';
import { encodeIdAuth, encodeIdBlock, parseIdAuth, parseIdBlock } from './id-block.ts';
import { encodeSnpReport, parseSnpReport } from './report.ts';
import { parseTcb } from './tcb.ts';
import { parseX509Certificate, parseX509Certificates } from './x509.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

/** One target per parser of SEV-SNP evidence, and the verification that ties them together. */
export function snpFuzzTargets(): FuzzTarget[] {
  const forged = forgeSnp();
  const bytes = encodeSnpReport(forged.report);
  const [ark, ask] = [parseX509Certificate(forged.ark), parseX509Certificate(forged.ask)];
  const trust = { at: forged.at, trustedRoot: ark };
  const ca = verifySnpCa({ ark, ask }, trust);
  const vek = verifyVek(parseX509Certificate(forged.vek), ca);
  const { block, auth } = sampleIdBlock();
  const url = formatKdsUrl({ kind: 'vcek', product: 'milan', hwid: forged.report.chipId, tcb: TCB });
  const sealed = (name: string, seed: Uint8Array, run: FuzzTarget['run']): FuzzTarget => ({
    name,
    seed,
    run,
    sealed: true,
  });
  return [
    parsing('snp-report', bytes, parseSnpReport),
    parsing('snp-report-response', sampleResponse(bytes), parseReportResponse),
    parsing('snp-tcb', Uint8Array.of(3, 0, 0, 0, 0, 0, 8, 115), (given) => parseTcb(given, 'milan')),
    parsing('snp-x509-der', forged.vek, parseX509Certificate),
    parsing('snp-x509-pem', concatBytes(pem(forged.ask), pem(forged.ark)), parseX509Certificates),
    parsing('snp-crl', forged.crl, parseCrl),
    parsing('snp-cert-table', sampleCertTable(forged.vek), parseCertTable),
    parsing('snp-tsm-report', sampleTsm(bytes, sampleCertTable(forged.vek)), parseTsmReport),
    parsing('snp-hcl-report', sampleHcl(bytes), parseHclReport),
    parsing('snp-coco-evidence', sampleCoco(sampleHcl(bytes), forged.vek), parseCocoEvidence),
    parsing('snp-id-block', block, parseIdBlock),
    parsing('snp-id-auth', auth, parseIdAuth),
    parsing('kds-url', Buffer.from(url), (given) => parseKdsUrl(text(given))),
    sealed('verify-snp-report', bytes, (given) => verifySnpReport({ report: parseSnpReport(given) }, vek).ok),
    sealed('verify-snp-vek', forged.vek, (given) => verifyVek(parseX509Certificate(given), ca).ok),
    sealed('verify-snp-ask', forged.ask, (given) => verifySnpCa({ ark, ask: parseX509Certificate(given) }, trust).ok),
    sealed('verify-snp-crl', forged.crl, (given) => verifySnpCa({ ark, ask }, { ...trust, crl: parseCrl(given) }).ok),
  ];
}

function sampleIdBlock() {
  const { report, vekKey } = forgeSnp();
  const { measurement: launchDigest, familyId, imageId, guestSvn, policy, signature } = report;
  return {
    block: encodeIdBlock({ launchDigest, familyId, imageId, guestSvn, policy }),
    auth: encodeIdAuth({
      idBlockSignature: signature,
      idKey: vekKey.point,
      author: { key: vekKey.point, idKeySignature: signature },
    }),
  };
}

function pem(der: Uint8Array): Uint8Array {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return Buffer.from(`-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`);
}

export function sampleResponse(report: Uint8Array): Uint8Array {
  const fields = fieldWriter(4000);
  fields.u32(4, report.length);
  fields.bytes(0x20, report);
  return fields.finish();
}

/** A certificate table with one VCEK, and a page's worth of zeros behind it. */
export function sampleCertTable(vcek: Uint8Array): Uint8Array {
  const fields = fieldWriter(4096);
  fields.bytes(0, Buffer.from('63da758de6644564adc5f4b93be8accd', 'hex'));
  fields.u32(16, 48);
  fields.u32(20, vcek.length);
  fields.bytes(48, vcek);
  return fields.finish();
}

/** RFC 8949: a map of three, with lengths of two bytes. */
export function sampleTsm(report: Uint8Array, table: Uint8Array): Uint8Array {
  const key = (name: string) => Buffer.concat([Uint8Array.of(0x60 | name.length), Buffer.from(name)]);
  const string = (content: Uint8Array) =>
    concatBytes(Uint8Array.of(0x59, content.length >>> 8, content.length & 0xff), content);
  return concatBytes(
    Uint8Array.of(0xa3),
    key('auxblob'),
    string(table),
    key('outblob'),
    string(report),
    key('provider'),
    key('sev_guest'),
  );
}

/** The HCL report of a guest whose REPORT_DATA binds nothing: parsers do not look. */
export function sampleHcl(report: Uint8Array): Uint8Array {
  const json = Buffer.from(`{"keys":["${createHash('sha256').update('vTPM').digest('hex')}"]}`);
  const runtimeAt = 0x20 + report.length;
  const fields = fieldWriter(2048);
  fields.bytes(0, Buffer.from('HCLA'));
  fields.u32(0x04, 1);
  fields.u32(0x08, runtimeAt + 20 + json.length);
  fields.u32(0x0c, 2);
  fields.bytes(0x20, report);
  [20 + json.length, 1, 2, 1, json.length].forEach((value, index) => {
    fields.u32(runtimeAt + 4 * index, value);
  });
  fields.bytes(runtimeAt + 20, json);
  return fields.finish();
}

export function sampleCoco(hcl: Uint8Array, vcek: Uint8Array): Uint8Array {
  const base64Url = (bytes: Uint8Array) =>
    Buffer.from(bytes).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
  return Buffer.from(JSON.stringify({ version: 1, hcl_report: base64Url(hcl), vcek: base64Url(vcek) }));
}
