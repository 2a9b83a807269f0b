import type { Profile } from '../profiles/profile.ts';

export function kernelCommandLine({ kernel, obstacle }: Profile): string {
  const options = obstacle === 'off-in-kernel' ? ' kvm_amd.sev=0' : ' mem_encrypt=on kvm_amd.sev=1';
  return `BOOT_IMAGE=/boot/vmlinuz-${kernel} root=/dev/sda1 ro quiet${options}\n`;
}

/** What the kernel log of this host says about SEV: the lines of ccp and kvm_amd. */
export function formatKernelLog(profile: Profile): string {
  return [...ccpLines(profile), ...kvmLines(profile)].map((line) => `${line}\n`).join('');
}

function ccpLines({ sevFirmware, obstacle }: Profile): string[] {
  if (sevFirmware === undefined) return [];
  if (obstacle === 'off-in-bios') return ['ccp 0000:02:00.2: SEV: memory encryption not enabled by BIOS'];
  const { apiMajor, apiMinor, build } = sevFirmware;
  return ['ccp 0000:02:00.2: sev enabled', `ccp 0000:02:00.2: SEV API:${apiMajor}.${apiMinor} build:${build}`];
}

function kvmLines({ kvmParameters, memoryEncryption: { maxAsid, minSevAsid }, kernel }: Profile): string[] {
  const isRecent = /^6\.(?:[89]|1\d)/.test(kernel);
  const pools = [
    { name: 'SEV', isOn: kvmParameters.sev === 'Y', first: minSevAsid, last: maxAsid },
    { name: 'SEV-ES', isOn: kvmParameters.sevEs === 'Y', first: 1, last: minSevAsid - 1 },
  ];
  if (maxAsid === 0) return [];
  return pools
    .filter(({ isOn, first, last }) => isRecent || (isOn && first <= last))
    .map(({ name, isOn, first, last }) => {
      if (!isRecent) return `kvm_amd: ${name} supported: ${last - first + 1} ASIDs`;
      const state = isOn ? 'enabled' : first <= last ? 'disabled' : 'unusable';
      return `kvm_amd: ${name} ${state} (ASIDs ${first} - ${last})`;
    });
}
