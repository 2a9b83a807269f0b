import { attribute, child, childText, type DomainView, shown } from '../domain.ts';
import type { Rule } from '../rule.ts';
import { type Quote, SENTENCE } from '../sources.ts';
import { appendChild, removeElement, setAttribute, type TextEdit } from '../xml-edit.ts';
import type { XmlElement } from '../xml-reader.ts';
import { ideConsequence } from './disk-move.ts';
import { transitionalDevices } from './legacy-virtio.ts';
import { isEs, isSev, isSnp } from './policy-value.ts';

const STATELESS: Quote = {
  document: 'nova',
  text: 'The amd-sev-snp memory encryption model requires stateless firmware',
};
const KERNEL_HASHES: Quote = {
  document: 'libvirt documentation',
  text: 'launchSecurity, kernelHashes: whether the hashes of kernel, initrd and command line are in the measurement',
};
const NO_SMM: readonly Quote[] = [
  { document: 'Linux', text: 'arch/x86/kvm/svm/svm.c, SEV-ES guests do not support SMM' },
  { document: 'QEMU', text: 'target/i386/sev.c, SEV-SNP does not support SMM' },
];

const NO_FLASH: Quote = {
  document: 'QEMU',
  text: 'hw/i386/pc_sysfw.c, pflash needs read-only memory of KVM, which has none for SEV-SNP: firmware is given by -bios',
};

export const firmwareRules: readonly Rule[] = [
  {
    id: 'MACHINE-NOT-Q35',
    promise: 'the machine type is q35',
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.q35, SENTENCE.legacyMachine],
    *check(context) {
      const { domain } = context;
      if (domain.launchSecurity === undefined || domain.isQ35) return;
      const type = child(domain.os, 'type');
      const addressed = domain.devices.some(
        (device) =>
          attribute(child(device, 'address'), 'type') === 'pci' ||
          (device.name === 'controller' && attribute(device, 'type') === 'pci'),
      );
      yield {
        at: type ?? domain.os ?? domain.root,
        message:
          domain.machine === ''
            ? 'no machine type is given'
            : `the machine type is '${shown(domain.machine)}', not q35`,
        // Addresses of a PCI root do not exist on a PCIe root: such a domain has to be laid out again.
        suggestion: `machine='q35'${addressed ? ', without the PCI addresses of the old machine type' : ''}${ideConsequence(domain)}`,
        ...(addressed || type === undefined ? {} : { edits: [setAttribute(domain.document, type, 'machine', 'q35')] }),
      };
      yield* transitionalDevices(context, addressed || type === undefined);
    },
  },
  {
    id: 'UEFI-MISSING',
    promise: 'the guest boots UEFI: a <loader>, or <os firmware="efi">',
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.ovmf],
    *check({ domain }) {
      const { launchSecurity, os, document } = domain;
      if (launchSecurity === undefined) return;
      const firmware = attribute(os, 'firmware');
      if (firmware === 'efi' || (firmware === undefined && childText(os, 'loader') !== undefined)) return;
      yield {
        at: os ?? domain.root,
        message: `the guest boots ${firmware === 'bios' ? "firmware='bios'" : "libvirt's default firmware, SeaBIOS"}, which knows no SEV`,
        suggestion: "<os firmware='efi'>, or a <loader> with the path of OVMF",
        // libvirt chooses no firmware where a loader is given, and which of the two is meant only a person knows.
        ...(os === undefined || childText(os, 'loader') !== undefined
          ? {}
          : { edits: [setAttribute(document, os, 'firmware', 'efi'), ...withAcpi(domain)] }),
      };
    },
  },
  {
    id: 'LOADER-NOT-PFLASH',
    promise: 'the loader is mapped as pflash',
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.pflash],
    *check({ domain, profile }) {
      const loader = loaderFile(domain);
      if (domain.launchSecurity === undefined || loader === undefined) return;
      // SEV-SNP has no pflash of its own: QEMU takes the image by -bios, which libvirt calls rom.
      if (typeOf(loader) === 'pflash' || (isSnp(domain) && profile === 'modern')) return;
      yield {
        at: loader,
        message: `the loader's type is '${shown(attribute(loader, 'type') ?? 'rom (the default)')}', not pflash`,
        suggestion: "type='pflash'",
        edits: [setAttribute(domain.document, loader, 'type', 'pflash')],
      };
    },
  },
  {
    id: 'LOADER-NOT-READONLY',
    promise: 'the loader is read-only',
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.pflash],
    *check({ domain }) {
      const loader = loaderFile(domain);
      if (domain.launchSecurity === undefined || loader === undefined) return;
      if (attribute(loader, 'readonly') === 'yes' || (isSnp(domain) && typeOf(loader) === 'rom')) return;
      yield {
        at: loader,
        message: 'the guest can write to the firmware image that is measured',
        suggestion: "readonly='yes'",
        edits: [setAttribute(domain.document, loader, 'readonly', 'yes')],
      };
    },
  },
  {
    id: 'SMM-WITH-ENCRYPTED-STATE',
    promise: 'a SEV-ES or SEV-SNP guest has no SMM; one with SEV alone may',
    severity: { modern: 'error' },
    sources: NO_SMM,
    *check({ domain }) {
      const smm = child(child(domain.root, 'features'), 'smm');
      const loader = child(domain.os, 'loader');
      // libvirt takes secure='yes' for SMM that guards the variables: it switches SMM on, or asks for it.
      const at = smm ?? (attribute(loader, 'secure') === 'yes' ? loader : undefined);
      if (at === undefined || attribute(smm, 'state') === 'off' || !(isEs(domain) || isSnp(domain))) return;
      yield {
        at,
        message: `a ${isSnp(domain) ? 'SEV-SNP' : 'SEV-ES'} guest cannot have SMM${at === smm ? '' : ", which secure='yes' needs"}, and QEMU refuses to start it`,
        // The firmware that was chosen may be of no use without.
        suggestion:
          "no <smm>, and guest firmware that needs none: mostly one without Secure Boot (<loader secure='no'>; for nova os_secure_boot=disabled on the image)",
      };
    },
  },
  {
    id: 'SNP-LOADER-PFLASH',
    promise: 'the firmware image of an SNP guest is loaded as rom',
    severity: { modern: 'error' },
    sources: [NO_FLASH],
    *check({ domain }) {
      const loader = loaderFile(domain);
      if (!isSnp(domain) || loader === undefined || typeOf(loader) !== 'pflash') return;
      yield {
        at: loader,
        message: 'SEV-SNP has no flash memory: QEMU does not start a guest whose firmware is in pflash',
        // An image that is made for flash cannot do without its variables: a person has to choose another.
        suggestion:
          "type='rom' with an image that keeps no variables (OVMF.amdsev.fd), or <os firmware='efi'> with <loader stateless='yes'/>",
      };
    },
  },
  {
    id: 'SNP-FIRMWARE-NOT-STATELESS',
    promise: 'the firmware of an SNP guest is stateless',
    severity: { modern: 'error' },
    sources: [STATELESS],
    *check({ domain }) {
      const loader = child(domain.os, 'loader');
      // An image that is loaded as rom has nowhere to keep anything, and one in pflash is another rule's.
      if (!isSnp(domain) || attribute(loader, 'stateless') === 'yes' || loaderFile(domain) !== undefined) return;
      yield {
        at: loader ?? domain.os ?? domain.root,
        message: 'the firmware keeps state in NVRAM, which no SNP measurement covers',
        suggestion: "<loader stateless='yes'>",
        ...(loader === undefined ? {} : { edits: [setAttribute(domain.document, loader, 'stateless', 'yes')] }),
      };
    },
  },
  {
    id: 'SNP-NVRAM-PRESENT',
    promise: 'an SNP guest has no <nvram>',
    severity: { modern: 'error' },
    sources: [STATELESS],
    *check({ domain }) {
      const nvram = child(domain.os, 'nvram');
      if (!isSnp(domain) || nvram === undefined) return;
      yield {
        at: nvram,
        message: 'an NVRAM file is state that no SNP measurement covers',
        suggestion: 'no <nvram>',
        edits: [removeElement(domain.document, nvram)],
      };
    },
  },
  {
    id: 'SNP-KERNELHASHES-OFF',
    promise: 'an SNP guest with a direct kernel boot has its kernel measured',
    severity: { modern: 'error' },
    sources: [KERNEL_HASHES, { document: 'nova', text: "kernelHashes='yes' for an instance with a kernel" }],
    *check({ domain }) {
      const { launchSecurity, document } = domain;
      if (launchSecurity === undefined || !isSnp(domain) || childText(domain.os, 'kernel') === undefined) return;
      if (attribute(launchSecurity, 'kernelHashes') === 'yes') return;
      yield {
        at: launchSecurity,
        message: 'kernel, initrd and command line are not part of the measurement',
        suggestion: "kernelHashes='yes'",
        edits: [setAttribute(document, launchSecurity, 'kernelHashes', 'yes')],
      };
    },
  },
  {
    id: 'SEV-DIRECT-KERNEL-UNMEASURED',
    promise: 'a SEV guest with a direct kernel boot has its kernel measured',
    severity: { train: 'warning', modern: 'warning' },
    sources: [KERNEL_HASHES],
    *check({ domain }) {
      const kernel = child(domain.os, 'kernel');
      if (!isSev(domain) || kernel === undefined || attribute(domain.launchSecurity, 'kernelHashes') === 'yes') return;
      yield {
        at: kernel,
        message: 'the host can exchange kernel, initrd and command line: the measurement does not cover them',
        // QEMU refuses to start when the firmware has no table for the hashes.
        suggestion: "kernelHashes='yes' on <launchSecurity>, with a firmware that has the hashes table (AmdSevX64)",
      };
    },
  },
];

/** libvirt takes UEFI only with ACPI. */
function withAcpi({ document, root }: DomainView): TextEdit[] {
  const features = child(root, 'features');
  if (features === undefined) return [appendChild(document, root, ['<features>', '  <acpi/>', '</features>'])];
  return child(features, 'acpi') === undefined ? [appendChild(document, features, ['<acpi/>'])] : [];
}

/** The loader that names an image; without one libvirt chooses the firmware. */
function loaderFile({ os }: DomainView): XmlElement | undefined {
  const loader = child(os, 'loader');
  return loader === undefined || loader.text.trim() === '' ? undefined : loader;
}

/** libvirt takes an image of no type for rom. */
function typeOf(loader: XmlElement): string {
  return attribute(loader, 'type') ?? 'rom';
}
