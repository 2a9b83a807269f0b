import { describe, expect, test } from 'vitest';
import { type NonnullDomain, remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { SEV_POLICY } from './test-guests.ts';
import { useLab } from './test-lab.ts';

// Refusals, states and events were recorded from libvirt 9.0.0 with QEMU 7.2, for SEV behind a QEMU that claims it.
const lab = useLab('naples');
const FLAG = { noMetadata: 4, diskOnly: 16, live: 256 };
const BLOCKED = '55/10 Requested operation is not valid: cannot migrate domain: SEV: Migration is not implemented';
const DISK =
  "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/img/a.qcow2'/><target dev='sda' bus='scsi'/></disk>";
const INTO_FILE = "<domainsnapshot><name>m</name><memory snapshot='external' file='/tmp/m'/></domainsnapshot>";
const OVERLAY =
  "<domainsnapshot><name>d</name><disks><disk name='sda' snapshot='external'><source file='/img/a.over'/></disk></disks></domainsnapshot>";
const make = (dom: NonnullDomain, xmlDesc: string, flags: number) => ({ dom, xmlDesc, flags });
const xmlOf = async (dom: NonnullDomain, flags = 0) =>
  (await lab.client.call(remote.domainGetXmlDesc, { dom, flags })).xml;

describe('a snapshot with memory', () => {
  test('into a file stops a SEV guest, is refused, and lets it go on', async () => {
    const dom = await lab.running({ policy: SEV_POLICY });
    expect(await lab.refusalOf(remote.domainSnapshotCreateXml, make(dom, INTO_FILE, 0))).toBe(BLOCKED);
    expect(await lab.client.takeLifecycle()).toEqual([`${dom.name} 3/0 ${dom.id}`, `${dom.name} 4/0 ${dom.id}`]);
    expect(await lab.stateOf(dom)).toBe('1/5');
    await lab.client.call(remote.domainDestroy, { dom });
  });

  test('while the guest runs, or inside its disk, is refused without stopping it', async () => {
    const dom = await lab.running({ policy: SEV_POLICY, devices: DISK });
    const internal = make(dom, '<domainsnapshot/>', 0);
    expect(await lab.refusalOf(remote.domainSnapshotCreateXml, make(dom, INTO_FILE, FLAG.live))).toBe(BLOCKED);
    expect(await lab.refusalOf(remote.domainSnapshotCreateXml, internal)).toBe(BLOCKED);
    expect(await lab.client.takeLifecycle()).toEqual([]);
    expect(await lab.stateOf(dom)).toBe('1/1');
    await lab.client.call(remote.domainDestroy, { dom });
  });

  test('of a guest without encryption is taken', async () => {
    const dom = await lab.running();
    const { snap } = await lab.client.call(remote.domainSnapshotCreateXml, make(dom, INTO_FILE, 0));
    expect(snap.name).toBe('m');
    expect(await lab.stateOf(dom)).toBe('1/5');
  });
});

describe('a snapshot of disks', () => {
  test('of a running SEV guest moves it to the new file, and leaves no trace when that is asked', async () => {
    const dom = await lab.running({ policy: SEV_POLICY, devices: DISK });
    const flags = FLAG.diskOnly | FLAG.noMetadata;
    await lab.client.call(remote.domainSnapshotCreateXml, make(dom, OVERLAY, flags));
    for (const inactive of [0, 2]) expect(await xmlOf(dom, inactive)).toContain("<source file='/img/a.over'/>");
    expect(await lab.stateOf(dom)).toBe('1/1');
    expect(await lab.client.call(remote.domainSnapshotNum, { dom, flags: 0 })).toEqual({ num: 0 });
    await lab.client.call(remote.domainDestroy, { dom });
  });

  test.each([
    ['nothing to take', '<domainsnapshot/>', '', '67/10 unsupported configuration: nothing selected for snapshot'],
    [
      'a disk that is not there',
      "<domainsnapshot><disks><disk name='sdz'/></disks></domainsnapshot>",
      DISK,
      "67/35 unsupported configuration: no disk named 'sdz'",
    ],
    [
      'more disks than there are',
      "<domainsnapshot><disks><disk name='sda'/><disk name='sdz'/></disks></domainsnapshot>",
      DISK,
      '67/35 unsupported configuration: too many disk snapshot requests for domain',
    ],
  ])('with %s is refused', async (_, xml, devices, text) => {
    const dom = await lab.running({ devices });
    expect(await lab.refusalOf(remote.domainSnapshotCreateXml, make(dom, xml, FLAG.diskOnly))).toBe(text);
  });
});

describe('a core dump', () => {
  const dump = (dom: NonnullDomain, flags: number, dumpformat = 0, to = '/tmp/core') => ({
    dom,
    to,
    dumpformat,
    flags,
  });
  const LIVE = 2;

  test('in the form of a migration is refused for SEV, stopping the guest for as long unless it is to run', async () => {
    const dom = await lab.running({ policy: SEV_POLICY });
    expect(await lab.refusalOf(remote.domainCoreDumpWithFormat, dump(dom, LIVE))).toBe(BLOCKED);
    expect(await lab.client.takeLifecycle()).toEqual([]);
    expect(await lab.refusalOf(remote.domainCoreDumpWithFormat, dump(dom, 0))).toBe(BLOCKED);
    expect(await lab.client.takeLifecycle()).toEqual([`${dom.name} 3/0 ${dom.id}`, `${dom.name} 4/0 ${dom.id}`]);
    expect(await lab.stateOf(dom)).toBe('1/5');
    await lab.client.call(remote.domainDestroy, { dom });
  });

  test('compressed is for memory alone, and a folder must be there', async () => {
    const dom = await lab.running();
    expect(await lab.refusalOf(remote.domainCoreDumpWithFormat, dump(dom, 0, 1))).toBe(
      '84/10 Operation not supported: kdump-compressed format is only supported with memory-only dump',
    );
    expect(await lab.refusalOf(remote.domainCoreDumpWithFormat, dump(dom, 0, 0, '/nonexistent/x'))).toBe(
      "38/10 Failed to create file '/nonexistent/x': No such file or directory",
    );
  });
});
