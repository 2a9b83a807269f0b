import type { Profile } from '../../profiles/profile.ts';
import { canonicalMachine, EMULATOR, machineTypes, maxCpus } from '../../state/domain-xml/machines.ts';
import { formatXml } from '../../state/xml/format.ts';
import { element, type XmlElement } from '../../state/xml/tree.ts';

/** virConnectGetCapabilities: one NUMA cell for each socket, x86 guests only. */
export function formatCapabilities(profile: Profile, hostUuid: string): string {
  const root = element('capabilities', {}, [hostElement(profile, hostUuid), ...guestElements(profile)]);
  return formatXml(root);
}

function leaf(name: string, value: string | number): XmlElement {
  return element(name, {}, [String(value)]);
}

function hostElement(profile: Profile, hostUuid: string): XmlElement {
  const { cpu } = profile;
  return element('host', {}, [
    leaf('uuid', hostUuid),
    element('cpu', {}, [
      leaf('arch', 'x86_64'),
      leaf('model', cpu.libvirtModel),
      leaf('vendor', 'AMD'),
      element('microcode', { version: String(Number(cpu.microcodeHex)) }),
      element('signature', { family: String(cpu.family), model: String(cpu.model), stepping: String(cpu.stepping) }),
      element('counter', { name: 'tsc', frequency: String(cpu.mhz * 1_000_000), scaling: 'yes' }),
      element('topology', {
        sockets: '1',
        dies: '1',
        cores: String(cpu.coresPerSocket),
        threads: String(cpu.threadsPerCore),
      }),
      element('maxphysaddr', { mode: 'emulate', bits: '48' }),
      ...['svm', 'topoext', 'npt', 'nrip-save'].map((name) => element('feature', { name })),
      ...[4, 2048, 1048576].map((size) => element('pages', { unit: 'KiB', size: String(size) })),
    ]),
    element('power_management'),
    element('iommu', { support: 'yes' }),
    element('migration_features', {}, [
      element('live'),
      element('uri_transports', {}, [leaf('uri_transport', 'tcp'), leaf('uri_transport', 'rdma')]),
    ]),
    topologyElement(profile),
    secmodelElement('none'),
    secmodelElement('dac'),
  ]);
}

function secmodelElement(model: 'none' | 'dac'): XmlElement {
  const labels = ['kvm', 'qemu'].map((type) => element('baselabel', { type }, ['+64055:+106']));
  return element('secmodel', {}, [leaf('model', model), leaf('doi', 0), ...(model === 'dac' ? labels : [])]);
}

function topologyElement({ cpu, memoryKiB }: Profile): XmlElement {
  const perSocket = cpu.coresPerSocket * cpu.threadsPerCore;
  const cellKiB = Math.floor(memoryKiB / cpu.sockets);
  const cells = Array.from({ length: cpu.sockets }, (_, socket) => {
    const cpus = Array.from({ length: perSocket }, (_, index) => {
      const core = index % cpu.coresPerSocket;
      const thread = Math.floor(index / cpu.coresPerSocket);
      const numberOf = (of: number) => of * cpu.coresPerSocket * cpu.sockets + socket * cpu.coresPerSocket + core;
      const siblings = Array.from({ length: cpu.threadsPerCore }, (_, one) => numberOf(one)).join(',');
      return element('cpu', {
        id: String(numberOf(thread)),
        socket_id: String(socket),
        die_id: '0',
        core_id: String(core),
        siblings,
      });
    });
    return element('cell', { id: String(socket) }, [
      element('memory', { unit: 'KiB' }, [String(cellKiB)]),
      element('pages', { unit: 'KiB', size: '4' }, [String(Math.floor(cellKiB / 4))]),
      element('pages', { unit: 'KiB', size: '2048' }, ['0']),
      element('pages', { unit: 'KiB', size: '1048576' }, ['0']),
      element(
        'distances',
        {},
        Array.from({ length: cpu.sockets }, (_, id) =>
          element('sibling', { id: String(id), value: id === socket ? '10' : '32' }),
        ),
      ),
      element('cpus', { num: String(perSocket) }, cpus),
    ]);
  });
  return element('topology', {}, [element('cells', { num: String(cpu.sockets) }, cells)]);
}

function guestElements({ qemu }: Profile): XmlElement[] {
  const aliases = ['pc', 'q35'].map((alias) => {
    const canonical = canonicalMachine(alias, qemu);
    return element('machine', { canonical, maxCpus: String(maxCpus(canonical, qemu)) }, [alias]);
  });
  const machines = machineTypes(qemu).map((name) =>
    element('machine', { maxCpus: String(maxCpus(name, qemu)) }, [name]),
  );
  const guest = (arch: string, wordsize: number, emulator: string) =>
    element('guest', {}, [
      leaf('os_type', 'hvm'),
      element('arch', { name: arch }, [
        leaf('wordsize', wordsize),
        leaf('emulator', emulator),
        ...machines,
        ...aliases,
        element('domain', { type: 'qemu' }),
        element('domain', { type: 'kvm' }),
      ]),
      element('features', {}, [
        ...(arch === 'i686' ? [element('pae'), element('nonpae')] : []),
        element('acpi', { default: 'on', toggle: 'yes' }),
        element('apic', { default: 'on', toggle: 'no' }),
        element('cpuselection'),
        element('deviceboot'),
        element('disksnapshot', { default: 'on', toggle: 'no' }),
      ]),
    ]);
  return [guest('i686', 32, '/usr/bin/qemu-system-i386'), guest('x86_64', 64, EMULATOR)];
}
