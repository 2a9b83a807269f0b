import { expect, it } from 'vitest';
import { BOOT_FAILURES } from '../console/boot-diagnosis.ts';
import { EVENTS } from '../console/events.ts';

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const MEANING: Readonly<Record<keyof typeof EVENTS, string>> = {
  ready: 'the agent runs; `modules` are those that it loaded',
  cpu: 'EAX, EBX, ECX, EDX of CPUID 0x8000001F and MSR 0xC0010131 (SEV_STATUS); null is unknown, never "no"',
  encryption: "the kernel's own line about memory encryption",
  secret: 'one entry of the table of secrets, by its digest',
  secrets: "all secrets have been named; `from` is `efi-secret` (the kernel's driver) or `memory`",
  'canary-pages': '`private` or `shared` memory, as `0x<guest-physical address>+0x<bytes>`',
  canary: 'the canary stands in all places that were named before',
  'equal-pages': 'pages that every guest with this seed has',
  workload: 'samples in the order in which they were taken, after one that is not counted',
  'workload-failed': 'a workload could not be measured',
  problem: 'something did not work that the guest can go on without',
  idle: 'all that the command line asked for is done',
  'power-off': 'the guest powers itself off: `command line`, `console` or `power button`',
};

function page(): string {
  const events = Object.entries(EVENTS).map(
    ([name, fields]) =>
      `| \`${name}\` | ${
        Object.keys(fields)
          .map((field) => `\`${field}\``)
          .join(', ') || '—'
      } | ${MEANING[name as keyof typeof EVENTS]} |`,
  );
  const failures = BOOT_FAILURES.map(
    ({ id, example, cause, fix }) =>
      `| \`${id}\` | ${cell(cause)} | ${cell(fix)} | ${cell(example.slice(0, 80).trim())} |`,
  );
  return `# The guest image

Scenarios that look into a guest boot this image: a kernel, and an initramfs of busybox, an agent and the kernel's virtio modules.
Guests boot it directly (\`<kernel>\`, \`<initrd>\`) through OVMF; nothing is installed, and no disk is needed.
The agent and the first process are in \`harness/guest/image/agent/\`. This page is compared with the code in a test.

\`\`\`
npm run scenario -- memory-encryption --host qemu:///system
npm run scenario -- memory-encryption --host qemu:///system --kernel /boot/vmlinuz-6.1.0-56-cloud-amd64
\`\`\`

- The kernel is the one that this machine runs, else the newest of \`/boot/vmlinuz-*\`, else what \`--kernel\` (SEV_HARNESS_KERNEL) names.
  Its modules are looked for in \`../lib/modules/<version>\` beside it, so an unpacked package will do:
  \`apt-get download linux-image-6.1.0-56-cloud-amd64 && dpkg -x linux-image-*.deb kernel\`.
- \`busybox-static\` and a C compiler with a static C library (\`gcc libc6-dev\`) must be installed. A missing one is named.
- The image is built once: it is kept in \`/var/tmp/sev-harness-<uid>/\` (\`--images\`, SEV_HARNESS_IMAGES) under the digest of all that
  went into it. The same inputs give the same bytes. The folder may be removed at any time.
- A host behind ssh gets the image in \`/var/tmp/sev-harness-<uid>/\` there. A host behind TCP or TLS cannot be given one.
- Guests need 192 MiB with OVMF, encrypted ones 256 MiB: 64 MiB are bounce buffers. On a host without SVM or VMX they run under TCG, about 8 s to the first line.

## What the agent is asked for

Parameters on the kernel command line; \`agentLaunch(context, request)\` of \`harness/test.ts\` writes them.

| Parameter | Asks for |
| --- | --- |
| \`sevh.canary=<hex>\` | 1 to 256 bytes that fill private memory, and go through a virtio console into shared memory where there is some |
| \`sevh.canary-kib=<n>\` | how much private memory, 2048 when absent |
| \`sevh.secret=0x<address>\` | where a launch secret stands, for kernels without the efi_secret driver; the page must be reserved, as AmdSev builds of OVMF have it since early 2022 and no other build has: \`launch-secret\` boots its guests under one, measured, and cannot check that the secret arrives where the host has none |
| \`sevh.equal-pages=<n>,<seed>\` | pages whose contents depend on the seed alone |
| \`sevh.workload=<name>,…\` | \`memory-bandwidth\`, \`memory-latency\` (128 MiB of memory each), \`disk-read\` |
| \`sevh.rounds=<n>\` | samples of each workload, 5 when absent |
| \`sevh.power-off=idle\` | power off when all is done |

Later the console takes \`workload <name> <rounds>\` and \`power-off\`, and the power button (\`virsh shutdown\`) powers off.

## What the agent prints

One line each on the first serial port: \`SEVH \`, then a JSON object with \`event\` and exactly these fields. Every other line is noise.
A line that begins so and is not of this form is an error (\`CONSOLE_LINE_MALFORMED\`), not noise. A \`because\` that is not null says why
something else is null or zero.

| Event | Fields | Meaning |
| --- | --- | --- |
${events.join('\n')}

Shared memory: a device cannot read encrypted memory, so the kernel copies what it shall read into bounce buffers, which are shared
with the host. The agent writes the canary to a virtio console and names the area of the bounce buffers, which the kernel log gives
only as a whole. A guest without encryption has no such area, and the agent says so. Private pages of the canary are written back
from the caches (CLFLUSH): not every processor shows its host what they hold. None of it is verified on SEV hardware.

The emulated guest prints the same lines. Its workload numbers are modelled, not measured.

## When a guest does not boot

\`GuestConsole\` follows the console from before the first instruction, keeps it as evidence, and ends a wait as soon as the console
shows that nothing will come any more. Of several causes on one console the first in this table counts. A console without any
output is diagnosed too.

| Cause | Says | What to do | Seen as |
| --- | --- | --- | --- |
${failures.join('\n')}
`;
}

it('docs/guest-image.md is what the agent, its lines and the table of boot failures are', async () => {
  await expect(page()).toMatchFileSnapshot('../../../docs/guest-image.md');
});
