import { attribute, child, type DomainView, shown } from '../domain.ts';
import type { XmlElement } from '../xml-reader.ts';

const TRUE = /^(1|t|true|on|y|yes)$/i;

/**
 * What in a domain without `<launchSecurity>` says that its guest was meant to be encrypted, in words.
 *
 * nova builds such a domain without a word when the host does not detect SEV, and then keeps `<locked/>`.
 */
export function whatAsksForEncryption(domain: DomainView): string | undefined {
  const asked = metadataRequest(child(domain.root, 'metadata'));
  if (asked !== undefined) return `nova's metadata asks for it (${shown(asked)})`;
  const hasVirtualIommu = domain.devices.some(({ name }) => name === 'iommu');
  if (!hasVirtualIommu && domain.virtioDevices.some(({ iommu }) => iommu === 'on'))
    return "virtio devices have iommu='on' although the guest has no IOMMU";
  const backing = child(domain.root, 'memoryBacking');
  const isRealtime =
    child(backing, 'hugepages') !== undefined ||
    child(backing, 'nosharepages') !== undefined ||
    child(child(domain.root, 'cputune'), 'vcpusched') !== undefined;
  return child(backing, 'locked') !== undefined && !isRealtime ? 'its memory is locked as for SEV' : undefined;
}

function metadataRequest(element: XmlElement | undefined): string | undefined {
  for (const part of element?.children ?? []) {
    const name = attribute(part, 'name');
    const local = part.name.replace(/^.*:/, '');
    const value = part.text.trim();
    if (local === 'extraSpec' && name === 'hw:mem_encryption' && TRUE.test(value)) return `${name}=${value}`;
    if (local === 'property' && name === 'hw_mem_encryption' && TRUE.test(value)) return `${name}=${value}`;
    if (local === 'extraSpec' && name === 'resources:MEM_ENCRYPTION_CONTEXT' && /^[1-9]/.test(value))
      return `${name}=${value}`;
    const inner = metadataRequest(part);
    if (inner !== undefined) return inner;
  }
  return undefined;
}
