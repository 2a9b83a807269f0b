import type { Version } from '../../profiles/profile.ts';

export const EMULATOR = '/usr/bin/qemu-system-x86_64';
export const GUEST_ARCHITECTURE = 'x86_64';

const Q35_MINORS: Readonly<Record<number, number>> = { 4: 2, 5: 2, 6: 2, 7: 2, 8: 2, 9: 2, 10: 0 };

/** Minor releases of the old majors that q35 (2.4 and later) and i440fx still have in QEMU up to 9.0. */
const OLD_RELEASES: readonly (readonly [major: number, minors: readonly number[]])[] = [
  [2, [4, 5, 6, 7, 8, 9, 10, 11, 12]],
  [3, [0, 1]],
];

/** Versioned machine types up to QEMU's own version; the aliases `pc` and `q35` mean the newest. QEMU 7.2 has a few older i440fx besides. */
export function machineTypes([major, minor]: Version): readonly string[] {
  const versions = major >= 10 ? [] : OLD_RELEASES.flatMap(([old, minors]) => minors.map((point) => `${old}.${point}`));
  for (let release = 4; release <= major; release++) {
    const lastMinor = release === major ? minor : (Q35_MINORS[release] ?? 2);
    for (let point = 0; point <= lastMinor; point++) versions.push(`${release}.${point}`);
  }
  return ['pc-q35-', 'pc-i440fx-'].flatMap((family) => versions.map((version) => family + version).reverse());
}

/** `q35` is an alias of the newest `pc-q35-…`; without a machine QEMU's default is the newest `pc-i440fx-…`. */
export function canonicalMachine(machine: string | undefined, [major, minor]: Version): string {
  if (machine === 'q35') return `pc-q35-${major}.${minor}`;
  if (machine === undefined || machine === '' || machine === 'pc') return `pc-i440fx-${major}.${minor}`;
  return machine;
}

export function isSupportedMachine(machine: string, qemu: Version): boolean {
  return machineTypes(qemu).includes(machine) || machine === 'microvm' || machine === 'isapc';
}

export function isQ35(machine: string): boolean {
  return machine.startsWith('pc-q35-');
}

export function maxCpus(machine: string, [major]: Version): number {
  if (isQ35(machine)) return major >= 8 ? 1024 : 288;
  return machine === 'isapc' ? 1 : 255;
}
