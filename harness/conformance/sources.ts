/** Documents that a rule may quote. The first two are the seeds: their quotes are checked word by word in a test. */
export type SourceDocument =
  | 'nova specification'
  | 'libvirt article'
  | 'nova'
  | 'SEV-SNP firmware ABI'
  | 'libvirt documentation'
  | 'QEMU'
  | 'Linux';

export interface Quote {
  readonly document: SourceDocument;
  readonly text: string;
}

export const nova = (text: string): Quote => ({ document: 'nova specification', text });
export const article = (text: string): Quote => ({ document: 'libvirt article', text });

/** The sentences of the seeds that more than one rule enforces. */
export const SENTENCE = {
  launchSecurity: nova('SEV security is enabled via the <launchSecurity> element'),
  kvm: nova('launching of KVM instances which are encrypted using AMD’s SEV'),
  policy: nova('which equates to 0x0033'),
  policyHides: nova('doesn’t permit other guests or the hypervisor to directly inspect memory'),
  processorFamily: nova(
    'cbitpos and reducedPhysBits are dependent on the processor family, and can be obtained through the sev element from the domain capabilities',
  ),
  q35: nova('The VM uses machine type q35 and UEFI via OVMF.'),
  legacyMachine: article('usage of the legacy PC machine type is strongly discouraged'),
  virtio10: article('SEV will not work with Virtio <1.0'),
  noVirtioGpu: article("don't support non-transitional model, which means that virtio GPU cannot be used"),
  ovmf: article(
    "SEV is only going to work with OVMF (UEFI), so you'll need to point libvirt to the correct OVMF binary",
  ),
  pflash: article("<loader readonly='yes' type='pflash'>/usr/share/edk2/ovmf/OVMF_CODE.fd</loader>"),
  locked: nova('The <locked/> element is present in the <memoryBacking> section of the domain’s XML'),
  hardLimit: article('256MiB extra memory over the total guest RAM should suffice for most workloads'),
  iommu: nova('The iommu attribute is on for all virtio devices'),
  virtualDma: article('we need to enable emulated IOMMU on the devices so that virtual DMA can work'),
  explicitController: article("<controller type='virtio-serial' index='0'> <driver iommu='on'/> </controller>"),
  bootDisk: nova('The boot disk of SEV-encrypted VMs cannot be virtio-blk'),
  bootDiskArticle: article(
    'the boot disk cannot be of type virtio-blk, instead, virtio-scsi needs to be used if virtio is desired',
  ),
  bootDiskBuses: nova('or SATA for the boot disk works as expected, as does virtio-blk for non-boot disks'),
  ide: nova('machine type does not provide an IDE controller, therefore IDE devices are not supported'),
  passthrough: nova('SEV-encrypted VMs cannot contain directly accessible host devices (PCI passthrough).'),
  pinned: article('the VM memory needs to be pinned in physical RAM which will be handled by QEMU'),
  sevType: article("<launchSecurity type='sev'>"),
} as const satisfies Record<string, Quote>;

/** In quotation marks only what is quoted word by word. */
export function quoteText({ document, text }: Quote): string {
  const isSeed = document === 'nova specification' || document === 'libvirt article';
  return isSeed ? `${document}: "${text}"` : `${document}: ${text}`;
}
