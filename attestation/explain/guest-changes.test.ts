import { describe, expect, test } from 'vitest';
import { concatBytes, toBase64 } from '../../core/bytes.ts';
import { KNOWN_CPUS } from '../measurement/cpu-signature.ts';
import { computeKernelHashes, encodeKernelHashes } from '../measurement/kernel-hashes.ts';
import { sampleOvmf } from '../measurement/sample-ovmf.ts';
import { patchVmsa } from '../measurement/vmsa.ts';
import {
  AP,
  BSP,
  type Case,
  CONTEXT,
  dimensions,
  explain,
  FIRMWARE,
  GUEST,
  givenPages,
  KERNEL,
  measured,
  withVcpus,
} from './sample-launch.ts';

const VARS = new Uint8Array(0x2_0000).fill(0xff);
const CODE = sampleOvmf({ sizeBytes: 0x1e_0000 });
const COMBINED = concatBytes(VARS, CODE);

const CASES: Case[] = [
  {
    name: 'kernel hashes off',
    truth: { kernel: undefined },
    dimension: 'kernel-hashes',
    words: 'the guest was started without kernel-hashes',
  },
  {
    name: 'kernel hashes without padding',
    truth: { kernelBytes: encodeKernelHashes(computeKernelHashes(KERNEL)).slice(0, 168) },
    dimension: 'kernel-hashes',
    words: /without its 8 bytes of padding$/,
  },
  {
    name: 'no initrd',
    truth: { kernel: { kernel: KERNEL.kernel, cmdline: KERNEL.cmdline ?? '' } },
    dimension: 'initrd',
    words: 'the guest was started without an initrd',
  },
  {
    name: 'no NUL',
    truth: { cmdlineBytes: `${KERNEL.cmdline}` },
    dimension: 'cmdline',
    words: /without its terminating NUL$/,
  },
  {
    name: 'a newline',
    truth: { cmdlineBytes: `${KERNEL.cmdline}\n\0` },
    dimension: 'cmdline',
    words: /ends with a newline$/,
  },
  {
    name: 'a newline for the NUL',
    truth: { cmdlineBytes: `${KERNEL.cmdline}\n` },
    dimension: 'cmdline',
    words: /newline in the place of its NUL$/,
  },
  { name: 'two NULs', truth: { cmdlineBytes: `${KERNEL.cmdline}\0\0` }, dimension: 'cmdline', words: /with two NULs$/ },
  {
    name: 'a space',
    truth: { cmdlineBytes: `${KERNEL.cmdline} \0` },
    dimension: 'cmdline',
    words: /ends with a space$/,
  },
  {
    name: 'an empty command line',
    truth: { cmdlineBytes: '\0' },
    dimension: 'cmdline',
    words: 'the command line is empty',
  },
  {
    name: 'white space that was given and not used',
    given: { guest: { ...GUEST, kernel: { ...KERNEL, cmdline: `${KERNEL.cmdline}\n` } } },
    dimension: 'cmdline',
    words: 'the command line has no white space at its ends',
  },
  {
    name: 'quotes that were given and not used',
    given: { guest: { ...GUEST, kernel: { ...KERNEL, cmdline: `"${KERNEL.cmdline}"` } } },
    dimension: 'cmdline',
    words: 'the command line has no quotes around it',
  },
  ...[1, 2, 3, 5, 64, 255, 256].map(
    (count): Case => ({
      name: `${count} vCPUs`,
      truth: { vcpus: withVcpus({ count }) },
      dimension: 'vcpu-count',
      words: `the guest has ${count} vCPU${count === 1 ? '' : 's'}, not 4`,
    }),
  ),
  ...KNOWN_CPUS.filter(({ signature }) => signature !== 0x00a0_0f11).map(
    ({ signature, names }): Case => ({
      name: `CPU ${names.join(', ')}`,
      truth: { vcpus: withVcpus({ cpuSignature: signature }) },
      dimension: 'cpu-signature',
      words: new RegExp(
        `^the CPU signature is 0x00${signature.toString(16)} \\(.*: ${names.join(', ')}\\), not 0x00a00f11`,
      ),
    }),
  ),
  {
    name: 'INIT2 pages',
    truth: { vcpus: withVcpus({ form: 'init2' }) },
    dimension: 'vmsa-form',
    words: /INIT2 .* form$/,
  },
  {
    name: 'legacy pages',
    given: { guest: { ...GUEST, vcpus: withVcpus({ form: 'init2' }) } },
    dimension: 'vmsa-form',
    words: /legacy .* form$/,
  },
  {
    name: 'debug-swap on',
    truth: { vcpus: withVcpus({ sevFeatures: 0x20 }) },
    dimension: 'sev-features',
    words: 'SEV_FEATURES is 0x20 (debug-swap), not 0x0',
  },
  {
    name: 'debug-swap off',
    given: { guest: { ...GUEST, vcpus: withVcpus({ sevFeatures: 0x20 }) } },
    dimension: 'sev-features',
    words: 'SEV_FEATURES is 0x0, not 0x20',
  },
  { name: 'BSP and AP swapped', truth: { pages: [AP, BSP, BSP, BSP] }, dimension: 'vcpu-order', words: /are swapped$/ },
  {
    name: 'BSP and AP pages given in the wrong order',
    given: { guest: { ...GUEST, vcpus: givenPages({ bsp: AP, ap: BSP }) } },
    dimension: 'vcpu-order',
    words: /are swapped$/,
  },
  {
    name: 'the BSP page for all',
    truth: { pages: [BSP, BSP, BSP, BSP] },
    dimension: 'vcpu-order',
    words: /for each vCPU$/,
  },
  {
    name: 'an AP page of another guest firmware',
    given: { guest: { ...GUEST, vcpus: givenPages({ ap: patchVmsa(AP, { resetEip: 0x0080_c000 }) }) } },
    dimension: 'vcpu-reset',
    words: /where this guest firmware says/,
  },
  {
    name: 'given pages of another CPU',
    truth: { vcpus: withVcpus({ cpuSignature: 0x0083_0f10 }) },
    given: { guest: { ...GUEST, vcpus: givenPages() } },
    dimension: 'cpu-signature',
    words: /^the CPU signature is 0x00830f10 \(23\/49\/0: EPYC-Rome, Rome\), not 0x00a00f11/,
  },
  {
    name: 'no VMSA measured',
    truth: { vcpus: undefined },
    dimension: 'sev-es',
    words: 'no VMSA page was measured',
  },
  {
    name: 'a plain SEV guest under a SEV policy',
    truth: { vcpus: undefined, context: { policy: 0x1 } },
    dimension: 'sev-es',
    words: 'the guest is a SEV guest: policy without the ES bit, and no VMSA page measured',
  },
  {
    name: 'a SEV-ES guest described as a SEV guest',
    given: { guest: { guestFirmware: FIRMWARE, kernel: KERNEL } },
    dimension: 'sev-es',
    words: /^the guest is a SEV-ES guest with 4 vCPUs, CPU signature 0x00a00f11 \(.*\) and VMSA pages in the legacy/,
  },
  {
    name: 'a SEV-ES guest described as a SEV guest, policy and all',
    given: { guest: { guestFirmware: FIRMWARE, kernel: KERNEL }, context: { ...CONTEXT, policy: 0x1 } },
    dimension: 'sev-es',
    words: /^the guest is a SEV-ES guest, with the ES bit in its policy, with 4 vCPUs/,
  },
  {
    name: 'another image that the caller has',
    truth: { firmware: sampleOvmf({ fill: 1 }) },
    given: { guest: { ...GUEST, alternates: [{ name: 'last month', bytes: sampleOvmf({ fill: 1 }) }] } },
    dimension: 'guest-firmware',
    words: 'the guest firmware is last month (4096 bytes), not the given image (4096 bytes)',
  },
  {
    name: 'another image with another reset vector',
    truth: { firmware: sampleOvmf({ resetEip: 0x0080_d000 }) },
    given: { guest: { ...GUEST, alternates: [{ name: 'B', bytes: sampleOvmf({ resetEip: 0x0080_d000 }) }] } },
    dimension: 'guest-firmware',
    words: /^the guest firmware is B /,
  },
  {
    name: 'code only, where the combined image was given',
    truth: { firmware: CODE },
    given: { guest: { ...GUEST, guestFirmware: COMBINED } },
    dimension: 'guest-firmware',
    words: /^the guest firmware is the code part of the given image, without its variable store \(1966080 bytes\)/,
  },
  {
    name: 'the combined image, where code was given',
    truth: { firmware: COMBINED },
    given: { guest: { ...GUEST, guestFirmware: CODE, alternates: [{ name: 'OVMF_VARS.fd', bytes: VARS }] } },
    dimension: 'guest-firmware',
    words: /^the guest firmware is OVMF_VARS.fd followed by the given image \(2097152 bytes\)/,
  },
];

describe('a single change in what the launch digest covers', () => {
  test.each(CASES)('names $name', async ({ measurement, truth, given, dimension, words }) => {
    const explanation = await explain(measurement ?? toBase64(measured(truth)), given);
    expect(dimensions(explanation)).toEqual([dimension]);
    const found = explanation.outcome === 'explained' ? explanation.changes[0] : undefined;
    if (typeof words === 'string') expect(found?.words).toBe(words);
    else expect(found?.words).toMatch(words);
    expect(found?.advice.length).toBeGreaterThan(20);
  });

  test('the table has a case for every dimension', () => {
    expect(new Set(CASES.map(({ dimension }) => dimension))).toEqual(
      new Set([
        'guest-firmware',
        'kernel-hashes',
        'cmdline',
        'initrd',
        'sev-es',
        'vcpu-count',
        'vcpu-order',
        'vcpu-reset',
        'cpu-signature',
        'vmsa-form',
        'sev-features',
      ]),
    );
  });
});
