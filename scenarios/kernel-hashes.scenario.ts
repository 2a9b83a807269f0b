import {
  type BootBlob,
  bootAndWatch,
  computeLaunchDigest,
  findMeasuredBootImage,
  GuestLauncher,
  isMeasured,
  launchAttestedOrFail,
  type MeasurableBoot,
  measurableLaunch,
  measuredBootDigest,
  type PausedGuest,
  randomBytesHex,
  readGuestFirmware,
  readPlatform,
  type ScenarioContext,
  scenario,
  swapBlob,
  withOwnInitrd,
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
    const token = randomBytesHex(8);
    const firmware = await findMeasuredBootImage(host, facts);
    const skipAll = (because: string) => {
      for (const id of ['measurement-covers-boot', ...BOOT_CHECKS]) skipCheck(id, because);
    };
    if ('because' in firmware) return skipAll(firmware.because);
    const launch = await measurableLaunch(context, { canaryHex: token });
    if ('because' in launch) return skipAll(launch.because);
    const launcher = new GuestLauncher(context);
    await launcher.assertMemoryFor(2);
    const platform = await readPlatform(host, facts);
    const { boot } = launch;
    note(`guest firmware ${firmware.path}, kernel ${boot.kernel}, initrd ${boot.initrd}`);
    const digest = await measuredBootDigest(host, firmware, boot);
    const launchHashed = (role: string, other: MeasurableBoot = boot) =>
      launchAttestedOrFail(launcher, platform, 'sev', role, {
        ...launch,
        boot: other,
        loader: firmware.path,
        isBootMeasured: true,
      });

    const right = await step('launch a guest with measured hashes', () => launchHashed('right'));
    const unhashed = computeLaunchDigest({ guestFirmware: firmware.image });
    check('measurement-covers-boot', {
      expected: { 'with hashes': true, 'guest firmware alone': false },
      actual: {
        'with hashes': isMeasured(right, digest),
        'guest firmware alone': isMeasured(right, unhashed),
      },
    });

    await step('let it boot', async () => {
      const { hasBooted, console } = await bootAndWatch(context, right.guest);
      check('right-files-boot', { expected: true, actual: hasBooted });
      evidence.attach('console.txt', console);
      await right.guest.stop();
    });
    for (const blob of SWAPS)
      await step(`swap the ${blob} after it was measured`, async () => {
        const own = blob === 'initrd' ? await withOwnInitrd(context, boot) : boot;
        const { guest } = await launchHashed(blob, own);
        const content = new TextEncoder().encode(`console=ttyS0 sevh.canary=${token} swapped ${blob}\0`);
        const refused = await swapBlob(host, guest, blob, { content, initrd: own.initrd });
        if (refused !== undefined) skipCheck(`swapped-${blob}-stops`, refused.outOfReach);
        else await checkStopped(context, `swapped-${blob}-stops`, guest);
        await guest.stop();
      });
    await step('boot a kernel without hashes under the same guest firmware', async () => {
      const guest = await launcher.launchOrFail('sev', 'unhashed', {
        ...launch,
        loader: firmware.path,
        isPaused: true,
      });
      await checkStopped(context, 'unhashed-boot-stops', guest);
      await guest.stop();
    });
    await step('swap the command line where nothing measured it', () =>
      checkControl(context, launcher, platform, boot),
    );
  },
);

async function checkStopped(context: ScenarioContext, id: string, guest: PausedGuest): Promise<void> {
  const { check, evidence } = context;
  const { hasBooted, stopped, console } = await bootAndWatch(context, guest);
  check(id, {
    expected: 'stopped',
    actual: hasBooted ? 'booted' : 'stopped',
    ...(stopped === undefined ? {} : { because: `the guest firmware said: ${stopped}` }),
  });
  evidence.attach(`${id}.txt`, console);
}

/** The swapped command line is the only one that asks for a canary: one that is reported shows that the swap went through. */
async function checkControl(
  context: ScenarioContext,
  launcher: GuestLauncher,
  platform: Awaited<ReturnType<typeof readPlatform>>,
  boot: MeasurableBoot,
): Promise<void> {
  const { host, facts, check, skipCheck, note } = context;
  const id = 'unmeasured-swap-goes-through';
  if (facts.loaders.length === 0)
    return skipCheck(id, 'libvirt offers no other guest firmware than the one with hashes');
  const { path, image } = await readGuestFirmware(host, facts);
  const guest = await launchAttestedOrFail(launcher, platform, 'sev', 'control', {
    boot: { ...boot, cmdline: 'console=ttyS0' },
  });
  const content = new TextEncoder().encode(`${boot.cmdline}\0`);
  const refused = await swapBlob(host, guest.guest, 'cmdline', { content, initrd: boot.initrd });
  if (refused !== undefined) {
    await guest.guest.stop();
    return skipCheck(id, refused.outOfReach);
  }
  note(`control under ${path}`);
  const digest = computeLaunchDigest({ guestFirmware: image });
  const { hasCanary } = await bootAndWatch(context, guest.guest);
  check(id, {
    expected: { measurement: 'verifies', 'swapped command line': 'in effect' },
    actual: {
      measurement: isMeasured(guest, digest) ? 'verifies' : 'does not verify',
      'swapped command line': hasCanary ? 'in effect' : 'not seen',
    },
  });
  await guest.guest.stop();
}
