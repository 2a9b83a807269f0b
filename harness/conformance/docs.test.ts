import { expect, it } from 'vitest';
import { ruleCatalogue } from './catalogue.ts';
import { sourceOf } from './rule.ts';

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function page(): string {
  return `# Domain conformance

\`npm run lint:domain -- guest.xml\` judges the XML of a SEV guest by the rules of the two documents that say what such a guest needs:
the nova specification "libvirt driver launching AMD SEV-encrypted instances" and the libvirt article "Launch security with AMD SEV".
Each finding names its rule, the place (XPath, line and column), what is wrong, what to change, and the sentence that asks for it.
This page is compared with the code in a test.

\`\`\`
npm run lint:domain -- guest.xml --cbitpos 51 --reduced-phys-bits 1    the host's values, from virsh domcapabilities
npm run lint:domain -- guest.xml --host qemu:///system                 the same, asked of the host
npm run lint:domain -- --host qemu:///system --domain guest1           a domain that the host has defined
virsh dumpxml guest1 | npm run --silent lint:domain -- -               standard input
\`\`\`

- \`--profile modern\` (the default) is for QEMU 6.2, libvirt 8 and later: \`iommu\` and \`cbitpos\` may be absent but not wrong, the policy is
  nova's for SEV or SEV-ES, SEV-SNP is known, a sufficient \`<hard_limit>\` counts as locked memory. \`--profile train\` is what the two
  documents ask, to the letter.
- \`--fix\` makes the changes that are certain, in the file at once, and leaves every other byte as it is; with \`-\` and \`--domain\` the
  mended XML goes to standard output. A domain of the host is never redefined. What only a person can decide stays a finding:
  so does a policy that forbids the host more than nova's.
- Each change is told in one line: its place, from what to what, and the rule. On q35, IDE disks move to SATA under another name.
  With \`--profile train\` a boot disk on virtio-blk moves to virtio-scsi; it gets an address where its name would lead libvirt to
  another controller, or to a place that is taken.
- \`--json\` prints \`{ "findings": [{ "rule", "severity", "location", "message", "source" }] }\`, and with \`--fix\` what was changed as
  \`"changes": [{ "rule", "place", "from", "to" }]\`: \`from\` is absent where there was nothing, \`to\` where nothing is left.
- Exit codes: 0 clean or warnings only, 1 a rule is broken, 2 the host is not usable, 3 usage, or no XML of a domain.

Numbers are read as libvirt reads them: \`<cbitpos>\` in decimal, \`<policy>\` in hexadecimal with or without \`0x\`, both without white
space behind them. \`--cbitpos\` and \`--reduced-phys-bits\` take decimal numbers and, with \`0x\`, hexadecimal ones.

Without the host's values, a \`cbitpos\` or \`reducedPhysBits\` that is merely different is not found. A domain without
\`<launchSecurity>\` has no rules to keep, unless something in it asks for encryption: nova builds such domains silently when a host
loses SEV, and that is LS-MISSING.

What hosts enforce themselves is proved by the scenario \`domain-conformance\`, which starts broken guests and compares verdicts.
Passthrough, a boot disk on virtio-blk, and firmware that is no UEFI are refused by no layer: for these the linter is the only check.

## Rules

| Rule | train | modern | What must hold | Source |
| --- | --- | --- | --- | --- |
${ruleCatalogue
  .map(
    (rule) =>
      `| \`${rule.id}\` | ${rule.severity.train ?? '-'} | ${rule.severity.modern ?? '-'} | ${cell(rule.promise)} | ${cell(sourceOf(rule))} |`,
  )
  .join('\n')}

\`<kind>\` of the IOMMU rules is the device: \`disk\`, \`interface\`, \`controller-virtio-serial\`, \`controller-virtio-scsi\`, \`memballoon\`,
\`rng\`, \`crypto\`, \`video\`, \`input\`, \`filesystem\`, \`sound\`, \`vsock\`. The kind of IMPLICIT-CONTROLLER is the controller's type. \`<type>\` of
HOSTDEV is the type of the \`<hostdev>\`, or \`interface\` for \`<interface type='hostdev'>\`, or \`vdpa\`, in the modern profile and only as
a warning, for \`<interface type='vdpa'>\`.
`;
}

it('are what docs/conformance.md says, rule by rule', async () => {
  await expect(page()).toMatchFileSnapshot('../../docs/conformance.md');
});
