import { attribute, child, element, elements, insertAfter, isElement, text, type XmlElement } from '../xml/tree.ts';
import { canonicalDevices } from './canonical-devices.ts';
import type { DomainDefinition } from './definition.ts';
import { launchSecurityElement } from './launch-security.ts';
import { GUEST_ARCHITECTURE } from './machines.ts';
import { parseLimitKiB } from './values.ts';

type Facts = Omit<DomainDefinition, 'tree' | 'nvramPath'>;

/** The order in which libvirt prints a domain's elements. */
const ORDER = [
  'name',
  'uuid',
  'genid',
  'title',
  'description',
  'metadata',
  'maxMemory',
  'memory',
  'currentMemory',
  'blkiotune',
  'memtune',
  'memoryBacking',
  'vcpu',
  'vcpus',
  'iothreads',
  'iothreadids',
  'defaultiothread',
  'cputune',
  'numatune',
  'resource',
  'sysinfo',
  'bootloader',
  'bootloader_args',
  'os',
  'idmap',
  'features',
  'cpu',
  'clock',
  'on_poweroff',
  'on_reboot',
  'on_crash',
  'on_lockfailure',
  'pm',
  'perf',
  'devices',
  'seclabel',
  'keywrap',
  'launchSecurity',
] as const;
const OS_ORDER = [
  'type',
  'firmware',
  'loader',
  'nvram',
  'kernel',
  'initrd',
  'cmdline',
  'dtb',
  'acpi',
  'boot',
  'bootmenu',
  'bios',
  'smbios',
];

/**
 * The domain as libvirt 9.0 would print it inactive: known elements in libvirt's order with its defaults.
 *
 * Not reproduced: elements libvirt does not know are kept (libvirt drops them), NUMA cells, CPU feature expansion,
 * iothread ids, and the device details that canonical-devices.ts names.
 */
export function canonicalDomain(root: XmlElement, facts: Facts): XmlElement {
  /** Undefined for what is not printed, although it was given. */
  const made = new Map<string, XmlElement | undefined>();
  const leaf = (name: string, content: string | number, attributes: Record<string, string | undefined> = {}) =>
    made.set(name, element(name, attributes, [String(content)]));
  leaf('name', facts.name);
  leaf('uuid', facts.uuid);
  leaf('memory', facts.memoryKiB, { unit: 'KiB' });
  leaf('currentMemory', facts.currentMemoryKiB, { unit: 'KiB' });
  const vcpu = child(root, 'vcpu');
  leaf('vcpu', facts.maxVcpus, {
    placement: attribute(vcpu, 'placement') ?? 'static',
    cpuset: attribute(vcpu, 'cpuset'),
    current: facts.vcpus === facts.maxVcpus ? undefined : String(facts.vcpus),
  });
  const memtune = child(root, 'memtune');
  const limits = canonicalLimits(memtune);
  made.set('memtune', limits.length > 0 ? element('memtune', {}, limits) : undefined);
  made.set('os', canonicalOs(root, facts));
  made.set('cpu', canonicalCpu(root));
  made.set('clock', withDefaultAttribute(child(root, 'clock') ?? element('clock'), 'offset', 'utc'));
  leaf('on_poweroff', facts.onPoweroff);
  leaf('on_reboot', facts.onReboot);
  leaf('on_crash', facts.onCrash);
  made.set('devices', canonicalDevices(root, facts));
  const source = child(root, 'launchSecurity');
  if (facts.launchSecurity && source) made.set('launchSecurity', launchSecurityElement(facts.launchSecurity, source));

  const given = elements(root);
  const children = ORDER.flatMap((name) => {
    if (made.has(name)) return made.get(name) ?? [];
    const all = given.filter((candidate) => candidate.name === name);
    return name === 'sysinfo' || name === 'seclabel' ? all : all.slice(0, 1);
  });
  const unknown = given.filter((candidate) => !(ORDER as readonly string[]).includes(candidate.name));
  const namespaces = [...root.attributes].filter(([name]) => name === 'xmlns' || name.startsWith('xmlns:'));
  return {
    name: 'domain',
    attributes: new Map([['type', facts.virtType], ...namespaces]),
    children: [...children, ...unknown],
  };
}

/** Limits in KiB, in libvirt's order; an unlimited one is not printed. */
function canonicalLimits(memtune: XmlElement | undefined): XmlElement[] {
  return ['hard_limit', 'soft_limit', 'min_guarantee', 'swap_hard_limit'].flatMap((name) => {
    const kiB = parseLimitKiB(child(memtune, name));
    return kiB === undefined ? [] : [element(name, { unit: 'KiB' }, [String(kiB)])];
  });
}

function canonicalOs(root: XmlElement, facts: Facts): XmlElement {
  const source = child(root, 'os') ?? element('os');
  const type = element(
    'type',
    { arch: attribute(child(source, 'type'), 'arch') ?? GUEST_ARCHITECTURE, machine: facts.machine },
    ['hvm'],
  );
  const children = OS_ORDER.flatMap((name) => {
    if (name === 'type') return [type];
    if (name === 'loader') return elements(source, name).map(canonicalLoader);
    return elements(source, name);
  });
  const os = { name: 'os', attributes: new Map(source.attributes), children };
  const loader = child(os, 'loader');
  const isReadonlyFlash = attribute(loader, 'type') === 'pflash' && attribute(loader, 'readonly') === 'yes';
  const isStateless = attribute(loader, 'stateless') === 'yes';
  if (isReadonlyFlash && !isStateless) addNvram(os, facts.name);
  const hasBootOrder = elements(child(root, 'devices') ?? element('devices')).some((device) => child(device, 'boot'));
  if (!child(os, 'boot') && !hasBootOrder)
    insertAfter(os, OS_ORDER.slice(0, OS_ORDER.indexOf('boot')), element('boot', { dev: 'hd' }));
  return os;
}

/** A flash loader needs a variable store of the guest's own; libvirt names the file after the guest. */
function addNvram(os: XmlElement, name: string): void {
  const path = `/var/lib/libvirt/qemu/nvram/${name}_VARS.fd`;
  const nvram = child(os, 'nvram');
  if (nvram === undefined) insertAfter(os, ['type', 'firmware', 'loader'], element('nvram', {}, [path]));
  else if (!text(nvram) && !child(nvram, 'source')) nvram.children.push(path);
}

function canonicalLoader(loader: XmlElement): XmlElement {
  const names = ['readonly', 'secure', 'type', 'stateless'];
  const attributes = Object.fromEntries(names.map((name) => [name, attribute(loader, name)]));
  return element('loader', attributes, loader.children);
}

function canonicalCpu(root: XmlElement): XmlElement {
  const cpu = child(root, 'cpu');
  const mode = attribute(cpu, 'mode');
  if (cpu === undefined || (mode === undefined && !child(cpu, 'model'))) {
    const model = element('model', { fallback: 'forbid' }, ['qemu64']);
    const rest = cpu ? elements(cpu).filter((one) => one.name !== 'model') : [];
    return element('cpu', { mode: 'custom', match: 'exact', check: 'none' }, [model, ...rest]);
  }
  switch (mode) {
    case 'host-passthrough':
    case 'maximum':
      return element(
        'cpu',
        { mode, check: attribute(cpu, 'check') ?? 'none', migratable: attribute(cpu, 'migratable') ?? 'on' },
        cpu.children,
      );
    case 'host-model':
      return element('cpu', { mode, check: attribute(cpu, 'check') ?? 'partial' }, cpu.children);
    default: {
      const match = attribute(cpu, 'match') ?? 'exact';
      return element(
        'cpu',
        { mode: 'custom', match, check: attribute(cpu, 'check') ?? 'partial' },
        cpu.children.map((one) =>
          isElement(one) && one.name === 'model' ? withDefaultAttribute(one, 'fallback', 'allow') : one,
        ),
      );
    }
  }
}

function withDefaultAttribute(source: XmlElement, name: string, value: string): XmlElement {
  return source.attributes.has(name)
    ? source
    : { ...source, attributes: new Map([[name, value], ...source.attributes]) };
}
