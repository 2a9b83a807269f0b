import { describe, expect, it } from 'vitest';
import type { SevFacts } from '../host/facts.ts';
import { type GuestSpec, guestXml } from './spec.ts';

const LOADERS = ['/usr/share/OVMF/OVMF_CODE_4M.fd', '/usr/share/OVMF/OVMF_CODE_4M.ms.fd'];
const FACTS: SevFacts = {
  domainCapabilities: { cbitpos: 51, reducedPhysBits: 1 },
  launchSecurityTypes: [],
  loaders: LOADERS,
  refusedLoaders: {},
  nodeSevInfo: undefined,
  cpuid: undefined,
  misc: undefined,
  kvmParameters: {},
  versions: {},
  hostname: 'h',
  emulatorPath: undefined,
  virtType: 'kvm',
  unknown: {},
};
const OWNER = { runId: 'r', machine: 'm', place: 'p', pid: 1, startTicks: '2' };

const xml = (spec: Partial<GuestSpec>) => guestXml({ name: 'g', kind: 'sev', memoryMiB: 256, ...spec }, FACTS, OWNER);
/** The lines that are not in the XML of the usual guest, and those that are there only. */
function changes(spec: Partial<GuestSpec>): { added: string[]; gone: string[] } {
  const lines = (text: string) => text.split('\n').map((line) => line.trim());
  const [usual, other] = [lines(xml({})), lines(xml(spec))];
  return {
    added: other.filter((line) => !usual.includes(line)),
    gone: usual.filter((line) => !other.includes(line)),
  };
}

describe('domain XML', () => {
  it('of the usual SEV guest', () => {
    expect(xml({})).toMatchInlineSnapshot(`
      "<domain type="kvm">
        <name>g</name>
        <metadata>
          <sevh:run xmlns:sevh="https://sev-harness.dev/xmlns/run/1" id="r" machine="m" place="p" pid="1" startTicks="2"/>
        </metadata>
        <memory unit="MiB">256</memory>
        <memoryBacking>
          <locked/>
        </memoryBacking>
        <vcpu>1</vcpu>
        <os>
          <type arch="x86_64" machine="q35">hvm</type>
          <loader readonly="yes" type="pflash" stateless="yes">/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
        </os>
        <features>
          <acpi/>
          <apic/>
        </features>
        <cpu mode="host-passthrough"/>
        <on_poweroff>destroy</on_poweroff>
        <on_reboot>restart</on_reboot>
        <on_crash>destroy</on_crash>
        <devices>
          <serial type="pty"/>
          <memballoon model="none"/>
          <rng model="virtio">
            <driver iommu="on"/>
            <backend model="random">/dev/urandom</backend>
          </rng>
        </devices>
        <launchSecurity type="sev">
          <cbitpos>51</cbitpos>
          <reducedPhysBits>1</reducedPhysBits>
          <policy>0x0033</policy>
        </launchSecurity>
      </domain>
      "
    `);
  });

  it('of a guest without encryption has neither launch security, locked memory nor an IOMMU', () => {
    expect(changes({ kind: 'plain' })).toMatchInlineSnapshot(`
      {
        "added": [],
        "gone": [
          "<memoryBacking>",
          "<locked/>",
          "</memoryBacking>",
          "<driver iommu="on"/>",
          "<launchSecurity type="sev">",
          "<cbitpos>51</cbitpos>",
          "<reducedPhysBits>1</reducedPhysBits>",
          "<policy>0x0033</policy>",
          "</launchSecurity>",
        ],
      }
    `);
  });

  it('of a guest that takes its memory at the start says so, locked or not', () => {
    expect(changes({ isPreallocated: true })).toEqual({ added: ['<allocation mode="immediate"/>'], gone: [] });
    expect(xml({ kind: 'plain', isPreallocated: true })).toContain('<allocation mode="immediate"/>');
  });

  it("of a guest with the agent's devices has each virtio device behind the IOMMU", () => {
    const virtio = { hasConsole: true, disk: '/images/disk.raw' };
    expect(xml({ virtio }).match(/<driver iommu="on"\/>/g)).toHaveLength(3);
    expect(changes({ virtio })).toMatchInlineSnapshot(`
      {
        "added": [
          "<controller type="virtio-serial" index="0">",
          "</controller>",
          "<controller type="scsi" index="0" model="virtio-scsi">",
          "</controller>",
          "<console type="pty">",
          "<target type="serial"/>",
          "</console>",
          "<console type="null">",
          "<target type="virtio"/>",
          "</console>",
          "<disk type="file">",
          "<driver name="qemu" type="raw"/>",
          "<source file="/images/disk.raw"/>",
          "<target dev="sda" bus="scsi"/>",
          "<readonly/>",
          "</disk>",
        ],
        "gone": [],
      }
    `);
  });

  it('of an i440FX guest has non-transitional virtio devices', () => {
    const virtio = { hasConsole: true, disk: '/images/disk.raw' };
    const { added } = changes({ machine: 'pc', virtio });
    expect(added.filter((line) => /machine|model=/.test(line))).toEqual([
      '<type arch="x86_64" machine="pc">hvm</type>',
      '<rng model="virtio-non-transitional">',
      '<controller type="virtio-serial" index="0" model="virtio-non-transitional">',
      '<controller type="scsi" index="0" model="virtio-non-transitional">',
    ]);
  });

  it('of a guest with NVRAM names the template beside the code', () => {
    expect(changes({ firmware: 'nvram' })).toEqual({
      added: [
        '<loader readonly="yes" type="pflash">/usr/share/OVMF/OVMF_CODE_4M.fd</loader>',
        '<nvram template="/usr/share/OVMF/OVMF_VARS_4M.fd"/>',
      ],
      gone: ['<loader readonly="yes" type="pflash" stateless="yes">/usr/share/OVMF/OVMF_CODE_4M.fd</loader>'],
    });
  });

  it('of a guest whose firmware libvirt chooses asks for one without Secure Boot', () => {
    expect(changes({ firmware: 'auto' })).toEqual({
      added: ['<os firmware="efi">', '<firmware>', '<feature enabled="no" name="secure-boot"/>', '</firmware>'],
      gone: ['<os>', '<loader readonly="yes" type="pflash" stateless="yes">/usr/share/OVMF/OVMF_CODE_4M.fd</loader>'],
    });
  });

  it('of a host whose images are all of no use is refused, with each of them and why', () => {
    const refusedLoaders = { '/ovmf/OVMF_CODE_4M.qcow2': 'qcow2, and our guests have raw flash' };
    const facts = { ...FACTS, loaders: [], refusedLoaders };
    const of = (spec: Partial<GuestSpec>) =>
      guestXml({ name: 'g', kind: 'sev', memoryMiB: 256, ...spec }, facts, OWNER);
    expect(() => of({})).toThrow('/ovmf/OVMF_CODE_4M.qcow2 (qcow2, and our guests have raw flash)');
    expect(of({ loader: '/ovmf/OVMF.amdsev.fd' })).toContain('/ovmf/OVMF.amdsev.fd');
  });
});
