import { expect, it } from 'vitest';
import { type Entry, TABLE_VERSION, type VersionRange } from './entry.ts';
import { diagnosisTable } from './table/index.ts';

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function page(): string {
  const sections = Object.entries(diagnosisTable).map(
    ([title, entries]) =>
      `## ${title}\n\n| Id | Seen as | Means | Sure | Do | Source |\n| --- | --- | --- | --- | --- | --- |\n${entries.map(row).join('\n')}`,
  );
  return `# Diagnosis

\`npm run diagnose -- qemu.log\` says what went wrong with a guest, from what libvirt, QEMU, the kernel and nova print. Several files may
be given, and \`-\` for standard input; put the host's dmesg beside QEMU's log, because a line with \`fw_error=0\` sends you there.
The same table explains refusals in the reports of scenarios. This page is compared with the code in a test; table version ${TABLE_VERSION}.

- Findings come ranked: causes before what merely followed and what is harmless, and the surer before the less sure.
- Versions narrow the causes. libvirt's log names them in its first line; else give \`--libvirt\`, \`--qemu\`, \`--kernel\`.
- libvirt keeps one log for all starts of a guest. What only earlier starts tell is marked, comes later, and counts for no verdict.
- A line that reports a failure in words that the table does not know is listed as unknown, of the last start alone;
  in a kernel log only what can concern a guest with SEV.
- A file may have 256 MiB. One that is no text, or that is compressed, is refused.
- \`--json\` prints \`{ tableVersion, versions, findings, unknown, unknownCount }\`. A finding has \`id\`, \`kind\` (\`cause\`,
  \`symptom\`, \`benign\`), \`confidence\` (\`certain\`, \`likely\`, \`possible\`), \`cause\`, \`fix\`, \`evidence\`, \`line\`, \`text\`,
  \`occurrences\` and \`source\`, and where they apply \`caution\`, \`isFromEarlierStart\`, \`writtenBy\` and \`refusal\`; an unknown line
  has \`evidence\`, \`line\` and \`text\`.
- Exit codes: 0 when a cause is named or nothing failed, 1 when something failed and the table does not say why, 2 when there is
  nothing to judge because the input is empty, 3 usage, or input that cannot be read.

## What misleads

- \`LAUNCH_START ret=1\`: QEMU prints 1 there for every failure. Only \`fw_error\` counts. Of \`SNP_LAUNCH_START\` the ret is right.
- \`SEV API:… build:…\` behind a failed INIT: Linux 6.9 to 6.14 print it all the same. It takes nothing back.
- \`fw_error=0\`, and \`-1\` of newer kernels: the firmware said nothing against it. The kernel refused, and dmesg says why.
- The quoted text of a \`LAUNCH_MEASURE\` line is looked up by errno and belongs to another failure. Trust the numbers.
- QEMU names firmware codes up to 24; from there on it prints "unknown error". Trust the number.
- Programs built with old Linux headers print wrong names from INVALID_PAGE_SIZE on. Trust the number.
- "failed to initialize kvm: Operation not permitted" ends every failed start; no right is missing.
- "Direct firmware load for amd/sev.fw failed with error -2" and "no command queues available" are normal.

${sections.join('\n\n')}
`;
}

function row(entry: Entry): string {
  const beware = entry.caution === undefined ? '' : ` Beware: ${entry.caution}`;
  const versions = Object.entries(entry.versions ?? {}).map(([component, range]) => `${component} ${rangeText(range)}`);
  const only = versions.length === 0 ? '' : ` (${versions.join(', ')})`;
  const sure = entry.kind === 'cause' ? entry.confidence : entry.kind;
  return `| \`${entry.id}\` | ${cell(entry.example)}${only} | ${cell(entry.cause + beware)} | ${sure} | ${cell(entry.fix)} | ${cell(entry.source)} |`;
}

function rangeText({ from, before }: VersionRange): string {
  return [...(from ? [`from ${from.join('.')}`] : []), ...(before ? [`before ${before.join('.')}`] : [])].join(' ');
}

it('is what docs/diagnosis.md says, entry by entry', async () => {
  await expect(page()).toMatchFileSnapshot('../../docs/diagnosis.md');
});
