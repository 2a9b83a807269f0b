import type { Profile } from '../../profiles/profile.ts';
import { refusal } from '../../refusal.ts';
import { parseXml } from '../xml/parse.ts';
import { attribute, child, elements, find, text, type XmlElement } from '../xml/tree.ts';
import { canonicalDomain } from './canonical.ts';
import { type Disk, parseDisks, parseInterfaces, parseRngs } from './devices.ts';
import { type LaunchSecurity, parseLaunchSecurity } from './launch-security.ts';
import { canonicalMachine, EMULATOR, GUEST_ARCHITECTURE } from './machines.ts';
import { validateDefinition } from './validate.ts';
import { parseLimitKiB, parseMemoryKiB, parseUint } from './values.ts';

export type VirtType = 'kvm' | 'qemu';
export type PowerAction =
  | 'destroy'
  | 'restart'
  | 'preserve'
  | 'rename-restart'
  | 'coredump-destroy'
  | 'coredump-restart';

/** What a domain is, as libvirt keeps it after parsing: `tree` is its inactive XML with the defaults filled in. */
export interface DomainDefinition {
  readonly tree: XmlElement;
  readonly name: string;
  readonly uuid: string;
  readonly virtType: VirtType;
  readonly emulator: string;
  readonly machine: string;
  readonly memoryKiB: number;
  readonly currentMemoryKiB: number;
  readonly maxVcpus: number;
  readonly vcpus: number;
  readonly hasAcpi: boolean;
  readonly hasSmm: boolean;
  readonly onPoweroff: PowerAction;
  readonly onReboot: PowerAction;
  readonly onCrash: PowerAction;
  readonly loader: { readonly path: string; readonly type: string | undefined; readonly secure: boolean } | undefined;
  readonly nvramPath: string | undefined;
  readonly kernelPath: string | undefined;
  readonly isLocked: boolean;
  /** `<memoryBacking><allocation mode='immediate'>`. */
  readonly isPreallocated: boolean;
  /** `<memtune><hard_limit>`. */
  readonly hardLimitKiB: number | undefined;
  readonly usesHugepages: boolean;
  readonly disks: readonly Disk[];
  readonly launchSecurity: LaunchSecurity | undefined;
}

/** Parses a domain's XML as `virDomainDefParseXML` and the QEMU driver's post-parse and validation do, in their order. */
export function parseDefinition(xml: string, profile: Profile, newUuid: () => string): DomainDefinition {
  return readDefinition(parseXml(xml, 'domain_definition'), profile, newUuid);
}

/** The same for a tree that is already there. */
export function readDefinition(root: XmlElement, profile: Profile, newUuid: () => string): DomainDefinition {
  if (root.name !== 'domain') {
    throw refusal('XML_ERROR', 'XML', `expecting root element of 'domain', not '${root.name}'`);
  }
  const { name, uuid } = parseIds(root, newUuid);
  const virtType = parseVirtType(root);
  const osType = parseOsType(root);
  const architecture = attribute(find(root, 'os', 'type'), 'arch') || GUEST_ARCHITECTURE;
  if (!KNOWN_ARCHITECTURES.includes(architecture)) {
    throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN', `Unknown architecture ${architecture}`);
  }
  const memory = parseMemoryKiB(child(root, 'memory'), './memory[1]');
  const current = parseMemoryKiB(child(root, 'currentMemory'), './currentMemory[1]');
  const { vcpus, maxVcpus } = parseVcpus(root);
  const features = parseFeatures(root);
  const onPoweroff = parseAction(root, 'on_poweroff', 'destroy');
  const onReboot = parseAction(root, 'on_reboot', 'restart');
  const onCrash = parseAction(root, 'on_crash', 'destroy');
  const disks = parseDisks(root);
  parseInterfaces(root);
  parseRngs(root);
  const launchSecurity = parseLaunchSecurity(root, profile.libvirt);

  const emulator = text(find(root, 'devices', 'emulator')) || EMULATOR;
  if (architecture !== GUEST_ARCHITECTURE && architecture !== 'i686') {
    throw refusal('CONFIG_UNSUPPORTED', 'QEMU', `No emulator found for arch '${architecture}'`);
  }
  if (memory === undefined || memory === 0) {
    throw refusal('XML_ERROR', 'DOMAIN', 'Memory size must be specified via <memory> or in the <numa> configuration');
  }
  const machine = canonicalMachine(attribute(find(root, 'os', 'type'), 'machine'), profile.qemu);
  const facts = {
    name,
    uuid,
    virtType,
    emulator,
    machine,
    memoryKiB: memory,
    currentMemoryKiB: current === undefined || current === 0 || current > memory ? memory : current,
    maxVcpus,
    vcpus,
    hasAcpi: features.includes('acpi'),
    hasSmm: features.includes('smm') && attribute(find(root, 'features', 'smm'), 'state') !== 'off',
    onPoweroff,
    onReboot,
    onCrash,
    loader: parseLoader(root),
    kernelPath: text(find(root, 'os', 'kernel')) || undefined,
    isLocked: find(root, 'memoryBacking', 'locked') !== undefined,
    isPreallocated: attribute(find(root, 'memoryBacking', 'allocation'), 'mode') === 'immediate',
    hardLimitKiB: parseLimitKiB(find(root, 'memtune', 'hard_limit')),
    usesHugepages: find(root, 'memoryBacking', 'hugepages') !== undefined,
    disks,
    launchSecurity,
  };
  const tree = canonicalDomain(root, facts);
  const definition = { ...facts, tree, nvramPath: text(find(tree, 'os', 'nvram')) || undefined };
  validateDefinition(definition, osType, architecture, profile);
  return definition;
}

const KNOWN_ARCHITECTURES = ['x86_64', 'i686', 'aarch64', 'armv7l', 'ppc64', 'ppc64le', 'riscv64', 's390x', 'mips64'];
const VIRT_TYPES = [
  'qemu',
  'kvm',
  'xen',
  'lxc',
  'test',
  'vbox',
  'bhyve',
  'hvf',
  'vmware',
  'hyperv',
  'kqemu',
  'uml',
  'vz',
];
const OS_TYPES = ['hvm', 'xen', 'linux', 'exe', 'uml', 'xenpvh'];
const ACTIONS: readonly PowerAction[] = ['destroy', 'restart', 'preserve', 'rename-restart'];
const CRASH_ACTIONS: readonly PowerAction[] = [...ACTIONS, 'coredump-destroy', 'coredump-restart'];
const FEATURES = [
  'acpi',
  'apic',
  'pae',
  'hap',
  'viridian',
  'privnet',
  'hyperv',
  'kvm',
  'pvspinlock',
  'capabilities',
  'pmu',
  'vmport',
  'gic',
  'smm',
  'ioapic',
  'hpt',
  'vmcoreinfo',
  'htm',
  'nested-hv',
  'msrs',
  'ccf-assist',
  'xen',
  'cfpc',
  'sbbc',
  'ibs',
  'tcg',
  'async-teardown',
  'ps2',
  'ras',
];

function parseIds(root: XmlElement, newUuid: () => string): { name: string; uuid: string } {
  const name = text(child(root, 'name')) ?? '';
  if (name === '') throw refusal('NO_NAME', 'DOMAIN');
  if (name.includes('/')) throw refusal('XML_ERROR', 'DOMAIN', `name ${name} cannot contain '/'`);
  if (name.includes('\n')) throw refusal('XML_DETAIL', 'XML', `invalid char in name: \n`);
  const given = text(child(root, 'uuid'));
  if (given === undefined || given === '') return { name, uuid: newUuid() };
  const hex = given.trim().replaceAll('-', '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(hex)) throw refusal('INTERNAL_ERROR', 'DOMAIN', 'malformed uuid element');
  const uuid = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  return { name, uuid };
}

function parseVirtType(root: XmlElement): VirtType {
  const type = attribute(root, 'type');
  if (type === undefined) throw refusal('INTERNAL_ERROR', 'DOMAIN', 'missing domain type attribute');
  if (!VIRT_TYPES.includes(type)) throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN', `invalid domain type ${type}`);
  if (type === 'kvm' || type === 'qemu') return type;
  throw refusal('CONFIG_UNSUPPORTED', 'QEMU', `Emulator '${EMULATOR}' does not support virt type '${type}'`);
}

function parseOsType(root: XmlElement): string {
  const osType = text(find(root, 'os', 'type')) ?? '';
  if (osType === '') throw refusal('XML_ERROR', 'DOMAIN', 'an os <type> must be specified');
  if (!OS_TYPES.includes(osType)) throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN', `unknown OS type '${osType}'`);
  return osType;
}

function parseVcpus(root: XmlElement): { vcpus: number; maxVcpus: number } {
  const source = child(root, 'vcpu');
  if (source === undefined) return { vcpus: 1, maxVcpus: 1 };
  const maxVcpus = parseUint(text(source) ?? '', 10);
  if (maxVcpus === undefined) throw refusal('XML_ERROR', 'DOMAIN', 'maximum vcpus count must be an integer');
  if (maxVcpus === 0) throw refusal('INTERNAL_ERROR', 'DOMAIN', 'CPU IDs in <numa> exceed the <vcpu> count');
  const current = attribute(source, 'current');
  const vcpus = current === undefined ? maxVcpus : parseUint(current, 10);
  if (vcpus === undefined) throw refusal('XML_ERROR', 'DOMAIN', 'current vcpus count must be an integer');
  if (vcpus > maxVcpus) {
    throw refusal('INTERNAL_ERROR', 'DOMAIN', `maxvcpus must not be less than current vcpus (${maxVcpus} < ${vcpus})`);
  }
  return { vcpus, maxVcpus };
}

function parseFeatures(root: XmlElement): string[] {
  const names = elements(child(root, 'features') ?? { name: '', attributes: new Map(), children: [] }).map(
    (one) => one.name,
  );
  const unknown = names.find((name) => !FEATURES.includes(name));
  if (unknown !== undefined) throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN', `unexpected feature '${unknown}'`);
  return names;
}

function parseAction(
  root: XmlElement,
  name: 'on_poweroff' | 'on_reboot' | 'on_crash',
  fallback: PowerAction,
): PowerAction {
  const given = text(child(root, name));
  if (given === undefined || given === '') return fallback;
  const known = (name === 'on_crash' ? CRASH_ACTIONS : ACTIONS).find((action) => action === given);
  if (known === undefined) throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN', `unknown ${name} action: ${given}`);
  return known;
}

function parseLoader(root: XmlElement): DomainDefinition['loader'] {
  const loader = find(root, 'os', 'loader');
  const path = text(loader) ?? '';
  if (loader === undefined) return undefined;
  return { path, type: attribute(loader, 'type'), secure: attribute(loader, 'secure') === 'yes' };
}
