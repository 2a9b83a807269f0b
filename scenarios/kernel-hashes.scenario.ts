import {
  type BootBlob,
  bootAndWatch,
  type DirectBoot,
  expectedDigests,
  findBootFiles,
  findMeasuredBootImage,
  GuestLauncher,
  isMeasured,
  launchAttestedOrFail,
  measuredBootDigest,
  randomBytesHex,
  readGuestFirmware,
  readPlatform,
  type ScenarioContext,
  scenario,
  swapBlob,
} from '../harness/test.ts';

const LIBVIRT =
  'libvirt, "Domain XML format", Launch Security: kernelHashes, "whether the hashes of the kernel, ramdisk and command line should be included in the measurement"';
const OVMF = 'edk2, OvmfPkg/AmdSev/BlobVerifierLibSevHashes';

const SWAPS = ['kernel', 'initrd', 'cmdline'] as const satisfies readonly BootBlob[];
const BOOT_CHECKS = [
  'right-files-boot',
  ...SWAPS.map((blob) => `swapped-${blob}-stops` as const),
  'unhashed-boot-stops',
  'unmeasured-swap-goes-through',
] as const;

scenario(
  {
    id: 'kernel-hashes',
    title: 'What a guest boots directly is what was measured: a swapped kernel, initrd or command line stops the boot',
    source: [
      'nova specification "libvirt driver launching AMD SEV-encrypted instances": "The cloud user can verify all of this before providing additional secrets to the VM"',
      LIBVIRT,
    ],
    needs: ['sev', 'kernel-hashes'],
    maturity: 'experimental',
    checks: {
      'measurement-covers-boot': {
        title: 'the measurement is that of the guest firmware with the hashes of kernel, initrd and command line',
        source: LIBVIRT,
      },
      'right-files-boot': { title: 'the guest boots what was measured', source: OVMF },
      'swapped-kernel-stops': { title: 'the guest firmware does not start a kernel that was swapped', source: OVMF },
      'swapped-initrd-stops': { title: 'nor a kernel whose initrd was swapped', source: OVMF },
      'swapped-cmdline-stops': { title: 'nor one whose command line was swapped', source: OVMF },
      'unhashed-boot-stops': { title: 'nor any kernel for which nobody measured hashes', source: OVMF },
      'unmeasured-swap-goes-through': {
        title: 'control: without kernel hashes the same swap boots, and the measurement does not show it',
        source: LIBVIRT,
      },
    },
  },
  async (context) => {
    const { host, facts, step, check, skipCheck, note, evidence } = context;
    const files = await findBootFiles(host);
    const firmware = await findMeasuredBootImage(host, facts);
    const because =
      'because' in files ? files.because : 'because' in firmware ? firmware.because : 'no file of that kind';
    const [kernel] = 'because' in files ? [] : files.kernels;
    const [initrd] = 'because' in files ? [] : files.initrds;
    if ('because' in firmware || kernel === undefined || initrd === undefined) {
      for (const id of ['measurement-covers-boot', ...BOOT_CHECKS]) skipCheck(id, because);
      return;
    }
    const launcher = new GuestLauncher(context);
    await launcher.assertMemoryFor(2);
    const platform = await readPlatform(host, facts);
    const token = randomBytesHex(8);
    const boot: DirectBoot = { kernel, initrd, cmdline: `console=ttyS0 sevh.canary=${token}` };
    const isBootMeasured = true;
    note(`guest firmware ${firmware.path}, kernel ${kernel}, initrd ${initrd}`);
    const digest = await measuredBootDigest(host, firmware, boot);
    const launchHashed = (role: string) =>
      launchAttestedOrFail(launcher, platform, 'sev', role, { loader: firmware.path, boot, isBootMeasured });

    const right = await step('launch a guest with measured hashes', () => launchHashed('right'));
    const [unhashed] = await expectedDigests(host, 'sev', firmware.image);
    check('measurement-covers-boot', {
      expected: { 'with hashes': true, 'guest firmware alone': false },
      actual: {
        'with hashes': isMeasured(right, digest),
        'guest firmware alone': unhashed !== undefined && isMeasured(right, unhashed),
      },
    });
    if (host.kind === 'real') {
      for (const id of BOOT_CHECKS) skipCheck(id, WHY_NO_BOOT);
      await right.guest.stop();
      return;
    }

    await step('let it boot', async () => {
      const { hasBooted, console } = await bootAndWatch(right.guest);
      check('right-files-boot', { expected: true, actual: hasBooted });
      evidence.attach('console.txt', console);
      await right.guest.stop();
    });
    for (const blob of SWAPS)
      await step(`swap the ${blob} after it was measured`, async () => {
        const guest = await launchHashed(blob);
        const content = new TextEncoder().encode(`console=ttyS0 sevh.canary=${token} swapped ${blob}\0`);
        const refused = await swapBlob(host, guest.guest, blob, content);
        if (refused !== undefined) skipCheck(`swapped-${blob}-stops`, refused.outOfReach);
        else await checkStopped(context, `swapped-${blob}-stops`, guest.guest);
        await guest.guest.stop();
      });
    await step('boot a kernel without hashes under the same guest firmware', async () => {
      const guest = await launcher.launchOrFail('sev', 'unhashed', { loader: firmware.path, boot, isPaused: true });
      await checkStopped(context, 'unhashed-boot-stops', guest);
      await guest.stop();
    });
    await step('swap the command line where nothing measured it', () =>
      checkControl(context, launcher, platform, boot),
    );
  },
);

const WHY_NO_BOOT = 'no guest of ours boots on a real host yet, and a stock QEMU hands out the bytes that it hashed';

async function checkStopped(
  { check, evidence }: ScenarioContext,
  id: string,
  guest: Parameters<typeof bootAndWatch>[0],
): Promise<void> {
  const { hasBooted, stopped, console } = await bootAndWatch(guest);
  check(id, {
    expected: 'stopped',
    actual: hasBooted ? 'booted' : 'stopped',
    ...(stopped === undefined ? {} : { because: `the guest firmware said: ${stopped}` }),
  });
  evidence.attach(`${id}.txt`, console);
}

/** The swapped command line is the only one that asks for a canary: one that is reported shows that the swap went through. */
async function checkControl(
  { host, facts, check, skipCheck, note }: ScenarioContext,
  launcher: GuestLauncher,
  platform: Awaited<ReturnType<typeof readPlatform>>,
  boot: DirectBoot,
): Promise<void> {
  const id = 'unmeasured-swap-goes-through';
  if (facts.loaders.length === 0)
    return skipCheck(id, 'libvirt offers no other guest firmware than the one with hashes');
  const { path, image } = await readGuestFirmware(host, facts);
  const guest = await launchAttestedOrFail(launcher, platform, 'sev', 'control', {
    boot: { ...boot, cmdline: 'console=ttyS0' },
  });
  const refused = await swapBlob(host, guest.guest, 'cmdline', new TextEncoder().encode(`${boot.cmdline}\0`));
  if (refused !== undefined) return skipCheck(id, refused.outOfReach);
  note(`control under ${path}`);
  const digests = await expectedDigests(host, 'sev', image);
  const { hasCanary } = await bootAndWatch(guest.guest);
  check(id, {
    expected: { measurement: 'verifies', 'swapped command line': 'in effect' },
    actual: {
      measurement: digests.some((digest) => isMeasured(guest, digest)) ? 'verifies' : 'does not verify',
      'swapped command line': hasCanary ? 'in effect' : 'not seen',
    },
  });
  await guest.guest.stop();
}
