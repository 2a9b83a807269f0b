import { cBitPosition } from '../../profiles/profile.ts';
import { REPORTED_REDUCED_PHYS_BITS } from '../../qemu/launch.ts';
import type { Machine } from '../machine.ts';
import {
  attribute,
  child,
  cloneElement,
  element,
  elements,
  insertAfter,
  isElement,
  text,
  type XmlElement,
} from '../xml/tree.ts';
import type { DomainDefinition } from './definition.ts';
import { launchSecurityElement } from './launch-security.ts';

/** Kinds whose alias is their own word and a number. */
const ALIAS_STEM: Readonly<Record<string, string>> = {
  interface: 'net',
  serial: 'serial',
  console: 'console',
  channel: 'channel',
  input: 'input',
  sound: 'sound',
  video: 'video',
  hostdev: 'hostdev',
  redirdev: 'redir',
  watchdog: 'watchdog',
  memballoon: 'balloon',
  rng: 'rng',
  tpm: 'tpm',
  panic: 'panic',
  shmem: 'shmem',
  filesystem: 'fs',
  vsock: 'vsock',
};

/**
 * The XML of a domain while it runs: id, resource partition, aliases, terminals, labels, and the values that libvirt
 * takes from the host. Not reproduced: CPU features, backing chains and cgroup partitions other than /machine.
 */
export function liveTree(definition: DomainDefinition, id: number, machine: Machine): XmlElement {
  const tree = cloneElement(definition.tree);
  const [type, ...others] = [...tree.attributes];
  tree.attributes.clear();
  if (type) tree.attributes.set(...type);
  tree.attributes.set('id', String(id));
  for (const [name, value] of others) tree.attributes.set(name, value);
  if (!child(tree, 'resource')) {
    const before = [
      'name',
      'uuid',
      'title',
      'description',
      'metadata',
      'memory',
      'currentMemory',
      'memtune',
      'memoryBacking',
      'vcpu',
      'iothreads',
      'cputune',
      'numatune',
    ];
    insertAfter(tree, before, element('resource', {}, [element('partition', {}, ['/machine'])]));
  }
  pickFirmware(tree, definition);
  markCpuChecked(tree);
  addAliases(tree, id);
  openGraphics(tree, () => machine.vncPort(id));
  openChannels(tree, definition.name, id);
  addTerminals(tree, id);
  fillLaunchSecurity(tree, definition, machine);
  if (!child(tree, 'seclabel')) {
    const label = element('seclabel', { type: 'dynamic', model: 'dac', relabel: 'yes' }, [
      element('label', {}, ['+64055:+106']),
      element('imagelabel', {}, ['+64055:+106']),
    ]);
    insertAfter(tree, ['devices'], label);
  }
  return tree;
}

function addAliases(tree: XmlElement, id: number): void {
  const counters = new Map<string, number>();
  for (const device of elements(child(tree, 'devices') ?? element('devices'))) {
    const count = counters.get(device.name) ?? 0;
    counters.set(device.name, count + 1);
    const alias = aliasOf(device, count);
    if (alias === undefined || child(device, 'alias')) continue;
    const address = device.children.findIndex((node) => isElement(node) && node.name === 'address');
    device.children.splice(address < 0 ? device.children.length : address, 0, element('alias', { name: alias }));
    if (device.name === 'interface' && !child(device, 'target')) {
      insertAfter(device, ['mac', 'source'], element('target', { dev: `vnet${id - 1}` }));
    }
  }
}

function aliasOf(device: XmlElement, count: number): string | undefined {
  if (device.name === 'disk') {
    const target = child(device, 'target');
    const drive = child(device, 'address');
    const bus = attribute(target, 'bus') ?? 'virtio';
    if (attribute(drive, 'type') !== 'drive')
      return `${bus}-disk${(attribute(target, 'dev') ?? 'vda').charCodeAt(2) - 97}`;
    return `${bus}${attribute(drive, 'controller')}-${attribute(drive, 'bus')}-${attribute(drive, 'unit')}`;
  }
  if (device.name === 'controller') return controllerAlias(device);
  if (device.name === 'console' && count === 0) return 'serial0';
  const stem = ALIAS_STEM[device.name];
  return stem === undefined ? undefined : `${stem}${count}`;
}

function controllerAlias(controller: XmlElement): string {
  const type = attribute(controller, 'type') ?? '';
  const index = attribute(controller, 'index') ?? '0';
  if (type === 'pci') {
    if (attribute(controller, 'model') === 'pcie-root') return 'pcie.0';
    return `pci.${index}`;
  }
  if ((type === 'usb' || type === 'sata' || type === 'ide') && index === '0') return type === 'sata' ? 'ide' : type;
  return `${type}${index}`;
}

const FIRMWARE_DIRECTORY = '/usr/share/OVMF';

/** The images that the firmware descriptors of Debian 12 choose, and the template for the variables. */
function pickFirmware(tree: XmlElement, definition: DomainDefinition): void {
  const os = child(tree, 'os');
  if (os === undefined) return;
  const isSev = definition.launchSecurity !== undefined;
  if (attribute(os, 'firmware') === 'efi') {
    os.attributes.delete('firmware');
    const suffix = isSev ? '' : '.ms';
    const secure = isSev ? undefined : 'yes';
    const path = `/var/lib/libvirt/qemu/nvram/${definition.name}_VARS.fd`;
    const loader = element('loader', { readonly: 'yes', secure, type: 'pflash' }, [
      `${FIRMWARE_DIRECTORY}/OVMF_CODE_4M${suffix}.fd`,
    ]);
    const nvram = element('nvram', { template: `${FIRMWARE_DIRECTORY}/OVMF_VARS_4M${suffix}.fd` }, [path]);
    os.children.splice(
      0,
      os.children.length,
      ...os.children.filter((node) => !isElement(node) || !['firmware', 'loader', 'nvram'].includes(node.name)),
    );
    insertAfter(os, ['type'], nvram);
    insertAfter(os, ['type'], loader);
    return;
  }
  const nvram = child(os, 'nvram');
  const loader = child(os, 'loader');
  if (nvram && loader && !nvram.attributes.has('template')) {
    nvram.attributes.set('template', (text(loader) ?? '').replace('_CODE', '_VARS').replace('.secboot', ''));
  }
}

/** What libvirt found the guest's CPU to be; the features it lists there are not reproduced. */
function markCpuChecked(tree: XmlElement): void {
  const cpu = child(tree, 'cpu');
  if (attribute(cpu, 'mode') === 'custom') cpu?.attributes.set('check', 'full');
}

function openGraphics(tree: XmlElement, freePort: () => number): void {
  for (const graphics of elements(child(tree, 'devices') ?? element('devices'), 'graphics')) {
    if (attribute(graphics, 'autoport') !== 'yes') continue;
    graphics.attributes.set('port', String(freePort()));
    graphics.attributes.set('listen', attribute(child(graphics, 'listen'), 'address') ?? '127.0.0.1');
    child(graphics, 'listen')?.attributes.set('address', attribute(graphics, 'listen') ?? '127.0.0.1');
  }
}

/** A channel without a source becomes a socket of libvirt's; nobody in the guest has opened it. */
function openChannels(tree: XmlElement, name: string, id: number): void {
  for (const channel of elements(child(tree, 'devices') ?? element('devices'), 'channel')) {
    const target = child(channel, 'target');
    if (attribute(channel, 'type') !== 'unix' || attribute(target, 'type') !== 'virtio') continue;
    const path = `/var/lib/libvirt/qemu/channel/target/domain-${id}-${name.slice(0, 20)}/${attribute(target, 'name')}`;
    if (!child(channel, 'source')) channel.children.unshift(element('source', { mode: 'bind', path }));
    target?.attributes.set('state', 'disconnected');
  }
}

/** A `pty` gets a terminal of the host; the console is the first serial port's. */
function addTerminals(tree: XmlElement, id: number): void {
  const path = `/dev/pts/${id - 1}`;
  const ttys = elements(child(tree, 'devices') ?? element('devices')).filter((one) =>
    ['serial', 'console'].includes(one.name),
  );
  for (const device of ttys) {
    if (attribute(device, 'type') !== 'pty' || child(device, 'source')) continue;
    device.children.unshift(element('source', { path }));
    if (device.name === 'console') device.attributes.set('tty', path);
  }
}

/** libvirt fills in the C-bit and the reduction that QEMU reported, where the user left them out. */
function fillLaunchSecurity(tree: XmlElement, { launchSecurity }: DomainDefinition, machine: Machine): void {
  const at = tree.children.findIndex((node) => isElement(node) && node.name === 'launchSecurity');
  const source = tree.children[at];
  if (launchSecurity?.type !== 'sev' || source === undefined || !isElement(source)) return;
  const filled = {
    ...launchSecurity,
    cbitpos: launchSecurity.cbitpos ?? cBitPosition(machine.profile.memoryEncryption),
    reducedPhysBits: launchSecurity.reducedPhysBits ?? REPORTED_REDUCED_PHYS_BITS,
  };
  tree.children[at] = launchSecurityElement(filled, source);
}
