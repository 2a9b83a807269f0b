import { describe, expect, it } from 'vitest';
import { fixDomain } from './lint.ts';
import { CLEAN, changed, HOST, movingDisks } from './testing/domains.ts';

const options = { profile: 'train', host: HOST } as const;
const diskOf = (xml: string) => / {4}<disk[\s\S]*<\/disk>\n/.exec(xml)?.[0] ?? '';

describe('--fix of a boot disk on virtio-blk', () => {
  it.each(movingDisks)('leaves it no option that only virtio has: %s', (_, xml) => {
    const fixed = fixDomain(xml, options);
    const disk = diskOf(fixed.xml);
    expect(disk).toContain("bus='scsi'");
    expect(disk).not.toMatch(/iommu|ats|packed|queue|iothread|model|type='pci'/);
    expect(fixed.findings.filter(({ edits = [] }) => edits.length > 0)).toEqual([]);
  });

  it('tells no change that it takes back', () => {
    const rules = movingDisks
      .flatMap(([, xml]) => fixDomain(xml, options).changes)
      .filter(({ place }) => place.includes('/disk'))
      .map(({ rule }) => rule);
    expect(new Set(rules)).toEqual(new Set(['BOOT-DISK-VIRTIO-BLK']));
  });

  it('leaves a vhost-user disk where it is, for it has no other bus, and gives it the option', () => {
    const xml = changed(
      CLEAN,
      ["<disk type='file'", "<disk type='vhostuser'"],
      ["dev='sda' bus='scsi'", "dev='vda' bus='virtio'"],
    );
    const { findings, changes } = fixDomain(xml, options);
    expect(changes.map(({ rule }) => rule)).toEqual(['IOMMU-OFF:disk']);
    expect(findings.map(({ rule, suggestion }) => [rule, suggestion])).toEqual([
      ['BOOT-DISK-VIRTIO-BLK', 'another disk to boot from: what is behind this one speaks virtio-blk only'],
    ]);
  });
});
