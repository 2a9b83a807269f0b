import { describe, expect, it } from 'vitest';
import { fixDomain } from './lint.ts';
import { CLEAN, changed, HOST, movingDisks, withDevice } from './testing/domains.ts';

const options = { profile: 'train', host: HOST } as const;
const diskOf = (xml: string) => / {4}<disk[\s\S]*?<\/disk>\n/.exec(xml)?.[0] ?? '';

describe('--fix of a boot disk on virtio-blk', () => {
  it.each(movingDisks)('leaves it no option that only virtio has: %s', (_, xml) => {
    const fixed = fixDomain(xml, options);
    const disk = diskOf(fixed.xml);
    expect(disk).toContain("bus='scsi'");
    expect(disk).not.toMatch(/iommu|ats|packed|queue|iothread|model|type='pci'/);
    expect(fixed.findings.filter(({ edits = [] }) => edits.length > 0)).toEqual([]);
  });

  it.each([
    ['an LSI controller beside it', "<address type='drive' controller='1' bus='0' target='0' unit='0'/>"],
    [
      'a virtio-scsi controller behind one of LSI, neither with an index',
      "<address type='drive' controller='1' bus='0' target='0' unit='0'/>",
    ],
    ['another disk at its address', "<address type='drive' controller='0' bus='0' target='0' unit='1'/>"],
    [
      'the names of a whole controller taken by SATA disks',
      "<address type='drive' controller='0' bus='0' target='0' unit='0'/>",
    ],
    ['no driver', undefined],
  ])('seats it on virtio-scsi, where no other is: %s', (what, address) => {
    const [, xml = ''] = movingDisks.find(([name]) => name === what) ?? [];
    const fixed = fixDomain(xml, options).xml;
    expect(/<address.*?>/.exec(diskOf(fixed))?.[0]).toBe(address);
    expect(fixed.match(/<controller type='scsi'.*model='virtio-scsi'/g)).toHaveLength(1);
  });

  it.each(['x', '', '-1', '9'.repeat(30)])(
    'adds a controller where the index of the one there is no number: %o',
    (index) => {
      const xml = changed(
        CLEAN,
        ["dev='sda' bus='scsi'", "dev='vda' bus='virtio'"],
        ["type='scsi' index='0'", `type='scsi' index='${index}'`],
      );
      expect(fixDomain(xml, options).changes.map(({ rule }) => rule)).toContain('BOOT-DISK-VIRTIO-BLK');
    },
  );

  it('tells no change that it takes back', () => {
    const rules = movingDisks
      .flatMap(([, xml]) => fixDomain(xml, options).changes)
      .filter(({ place }) => /\/disk(\[1\])?(\/|$)/.test(place))
      .map(({ rule }) => rule);
    expect(new Set(rules)).toEqual(new Set(['BOOT-DISK-VIRTIO-BLK']));
  });

  it.each([
    ['a vhost-user disk', "type='vhostuser' device='disk'", '', /^another disk to boot from/],
    [
      'a lun with a serial number of its own',
      "type='block' device='lun'",
      '<serial>1</serial>',
      /^bus='scsi', and no <serial>/,
    ],
  ])('leaves %s where it is, and gives it the option', (_, kind, inside, suggestion) => {
    const xml = changed(
      CLEAN,
      ["type='file' device='disk'", kind],
      ["dev='sda' bus='scsi'/>", `dev='vda' bus='virtio'/>${inside}`],
    );
    const { findings, changes } = fixDomain(xml, options);
    expect(changes.map(({ rule }) => rule)).toEqual(['IOMMU-OFF:disk']);
    expect(findings.map(({ rule }) => rule)).toEqual(['BOOT-DISK-VIRTIO-BLK']);
    expect(findings[0]?.suggestion).toMatch(suggestion);
  });
});

it('--fix of an IDE disk on q35 seats it where no SATA disk is', () => {
  const disk = (xml: string) => withDevice(`<disk>${xml}</disk>`);
  const xml = changed(
    CLEAN,
    disk("<target dev='hda' bus='ide'/><address type='drive' controller='0' bus='0' target='0' unit='0'/>"),
    disk("<target dev='hdb' bus='ide'/>"),
    disk("<target dev='sdx' bus='sata'/><address type='drive' unit='1'/>"),
    disk("<target dev='sdc' bus='sata'/>"),
  );
  expect(
    fixDomain(xml, options)
      .xml.match(/<disk><target.*<\/disk>/g)
      ?.slice(0, 2),
  ).toEqual([
    "<disk><target dev='sdb' bus='sata'/><address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>",
    "<disk><target dev='sdd' bus='sata'/></disk>",
  ]);
});
