import type { Entry } from '../entry.ts';
import { guestFileEntries } from './guest-files.ts';
import { kernelEntries } from './kernel.ts';
import { libvirtEntries } from './libvirt.ts';
import { novaEntries } from './nova.ts';
import { qemuGuestEntries } from './qemu-guest.ts';
import { qemuInitEntries } from './qemu-init.ts';
import { qemuLaunchEntries } from './qemu-launch.ts';
import { toolEntries } from './tools.ts';

/** The whole table, by who prints the text. */
export const diagnosisTable: Readonly<Record<string, readonly Entry[]>> = {
  'QEMU, before the launch': qemuInitEntries,
  'QEMU, the launch': qemuLaunchEntries,
  'QEMU, memory, firmware, secrets and life': qemuGuestEntries,
  'QEMU, what a guest is made of': guestFileEntries,
  libvirt: libvirtEntries,
  'Kernel log': kernelEntries,
  nova: novaEntries,
  Tools: toolEntries,
};
