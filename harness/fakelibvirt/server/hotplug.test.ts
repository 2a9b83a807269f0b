import { describe, expect, test } from 'vitest';
import { type NonnullDomain, remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { guestXml, SEV_POLICY } from './test-guests.ts';
import { useLab } from './test-lab.ts';

// Every text below was recorded from libvirt 9.0.0 with QEMU 7.2.
const lab = useLab('naples');
const LIVE = 1;
const CONFIG = 2;
const SCSI = "<controller type='scsi' index='0' model='virtio-scsi'/>";
const PCI =
  "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='3' slot='0' function='0'/></source></hostdev>";
const NO_PASSTHROUGH = "67/10 unsupported configuration: host doesn't support passthrough of host PCI devices";
const disk = (target: string, bus: string) =>
  `<disk type='file' device='disk'><source file='/img'/><target dev='${target}' bus='${bus}'/></disk>`;
const attach = (dom: NonnullDomain, xml: string, flags: number) =>
  lab.client.call(remote.domainAttachDeviceFlags, { dom, xml, flags });

describe('plugging into a running q35 guest', () => {
  test.each([
    [
      'sata',
      'sdc',
      "1/10 internal error: unable to execute QEMU command 'device_add': Bus 'ide.2' does not support hotplugging",
    ],
    ['ide', 'hda', '1/20 internal error: Could not find ide controller with index 0 required for device'],
    ['fdc', 'fda', "1/20 internal error: Invalid bus type 'fdc' for disk"],
  ])('a disk on %s is refused', async (bus, target, text) => {
    const dom = await lab.running({ policy: SEV_POLICY });
    const given = { dom, xml: disk(target, bus), flags: LIVE };
    expect(await lab.refusalOf(remote.domainAttachDeviceFlags, given)).toBe(text);
    await lab.client.call(remote.domainDestroy, { dom });
  });

  test('a disk on virtio-scsi is accepted as long as its controller is there', async () => {
    const dom = await lab.running({ devices: SCSI });
    for (const target of ['sda', 'sdb', 'sdg']) await attach(dom, disk(target, 'scsi'), LIVE);
    // A target that far up needs three more controllers, and there is one spare port.
    const beyond = { dom, xml: disk('sdz', 'scsi'), flags: LIVE };
    expect(await lab.refusalOf(remote.domainAttachDeviceFlags, beyond)).toBe(
      '1/20 internal error: No more available PCI slots',
    );
  });

  test('one disk on virtio finds the spare root port, and the next finds none', async () => {
    const dom = await lab.running();
    await attach(dom, disk('vda', 'virtio'), LIVE);
    const second = { dom, xml: disk('vdb', 'virtio'), flags: LIVE };
    expect(await lab.refusalOf(remote.domainAttachDeviceFlags, second)).toBe(
      '1/20 internal error: No more available PCI slots',
    );
  });

  test('a PCI device of the host is refused, and a guest that has one does not start', async () => {
    const dom = await lab.running();
    expect(await lab.refusalOf(remote.domainAttachDeviceFlags, { dom, xml: PCI, flags: LIVE })).toBe(NO_PASSTHROUGH);
    await attach(dom, PCI, CONFIG);
    await lab.client.call(remote.domainDestroy, { dom });
    expect(await lab.refusalOf(remote.domainCreate, { dom })).toBe(NO_PASSTHROUGH);
    expect(await lab.stateOf(dom)).toBe('5/6');
  });
});

describe('for the next start', () => {
  test('a disk on SATA is taken, and the guest starts with it', async () => {
    const dom = await lab.defined();
    await attach(dom, disk('sda', 'sata'), CONFIG);
    await lab.client.call(remote.domainCreate, { dom });
    expect((await lab.client.call(remote.domainGetXmlDesc, { dom, flags: 0 })).xml).toContain("dev='sda' bus='sata'");
  });

  test('a disk on IDE is refused with q35 and taken with i440fx', async () => {
    const xml = guestXml('ide', { devices: disk('hda', 'ide') });
    expect(await lab.refusalOf(remote.domainDefineXml, { xml })).toBe(
      '67/10 unsupported configuration: IDE controllers are unsupported for this QEMU binary or machine type',
    );
    const { dom } = await lab.client.call(remote.domainDefineXml, {
      xml: xml.replace("machine='q35'", "machine='pc'"),
    });
    expect(dom.name).toBe('ide');
  });
});

describe('parsing', () => {
  test.each([
    ['no model', '<rng/>', '27/20 XML error: missing RNG device model'],
    [
      'another model',
      "<rng model='bogus'><backend model='random'/></rng>",
      "67/20 unsupported configuration: unknown RNG model 'bogus'",
    ],
    ['no backend', "<rng model='virtio'/>", '27/20 XML error: only one RNG backend is supported'],
    [
      'no model of its backend',
      "<rng model='virtio'><backend/></rng>",
      '27/20 XML error: missing RNG device backend model',
    ],
    [
      'another model of its backend',
      "<rng model='virtio'><backend model='bogus'/></rng>",
      "67/20 unsupported configuration: unknown RNG backend model 'bogus'",
    ],
    [
      'a disk on IDE besides',
      `<rng model='virtio'/>${disk('hda', 'ide')}`,
      '27/20 XML error: only one RNG backend is supported',
    ],
  ])('a random number generator with %s is refused', async (_, devices, text) => {
    expect(await lab.refusalOf(remote.domainDefineXml, { xml: guestXml('rng', { devices }) })).toBe(text);
  });

  test('machine types of the article’s time are known', async () => {
    const xml = guestXml('old').replace("machine='q35'", "machine='pc-q35-3.0'");
    const { dom } = await lab.client.call(remote.domainDefineXml, { xml });
    expect((await lab.client.call(remote.domainGetXmlDesc, { dom, flags: 0 })).xml).toContain("machine='pc-q35-3.0'");
  });
});
