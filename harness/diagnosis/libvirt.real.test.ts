import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryDomain } from '../conformance/trial.ts';
import { connect, type LibvirtConnection } from '../libvirt/index.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
if (uri === undefined)
  throw new Error('SEV_HARNESS_REAL_URI is not set: run npm run test:real, which starts a libvirtd');

const name = `sevh-diagnosis-${process.pid}`;
const domain = (devices: string, rest = '') => `<domain type='qemu'>
  <name>${name}</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>${devices}</devices>${rest}
</domain>`;
const sev = (inside: string) => domain('', `<launchSecurity type='sev'>${inside}</launchSecurity>`);

let connection: LibvirtConnection;
beforeAll(async () => {
  connection = await connect(uri);
});
afterAll(() => connection.close());

describe('what a real libvirt says is diagnosed', () => {
  it.each([
    [
      "the fault of both of the article's examples, an rng without backend",
      domain("<rng model='virtio'/>"),
      'rng-backend',
    ],
    ['IDE on q35', domain("<disk device='cdrom'><target dev='hda' bus='ide'/></disk>"), 'ide-unsupported'],
    [
      'iommu on a device that is not virtio',
      domain(
        "<disk type='file'><driver name='qemu' iommu='on'/><source file='/x'/><target dev='sda' bus='sata'/></disk>",
      ),
      'iommu-on-non-virtio',
    ],
    ['a policy that is missing', sev(''), 'policy-missing'],
    ['a cbitpos that is no number', sev('<cbitpos>x</cbitpos><policy>0x33</policy>'), 'launch-security-number'],
    [
      'launch security without type',
      domain('', '<launchSecurity><policy>0x33</policy></launchSecurity>'),
      'launch-security-type',
    ],
    ['a machine type that is none', domain('').replace("'q35'", "'pc-q35-99.0'"), 'machine-unknown'],
    ['SEV on a host without it', sev('<policy>0x33</policy>'), 'sev-unsupported'],
  ])('%s', async (_, xml, id) => {
    const trial = await tryDomain(connection, name, xml);
    expect(trial.text).not.toBe('');
    expect(trial).toMatchObject({ outcome: 'refused at define', diagnosis: id, isLeft: false });
  });
});
