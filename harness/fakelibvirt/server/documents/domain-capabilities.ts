import { cBitPosition, isAtLeast, type Profile } from '../../profiles/profile.ts';
import { REPORTED_REDUCED_PHYS_BITS } from '../../qemu/launch.ts';
import { libvirtOffersSev } from '../../state/domain-xml/validate.ts';
import { OFFERED_LOADERS } from '../../state/host-paths.ts';
import { advertisedLimits } from '../../state/sev-info.ts';
import { formatXml } from '../../state/xml/format.ts';
import { element, type XmlElement } from '../../state/xml/tree.ts';
import { CPU_MODELS, isKnownModel, isUsableModel } from './cpu-models.ts';

export interface DomainCapabilitiesQuery {
  readonly emulator: string;
  readonly virtType: string;
  readonly architecture: string;
  readonly machine: string;
  readonly maxVcpus: number;
  /** Added to the number of SEV guests. */
  readonly advertisedError: number;
  /** Base64; asked for where the host offers SEV. */
  readonly cpu0Id: () => string;
}

const SUPPORTED = { supported: 'yes' };

/** virConnectGetDomainCapabilities in the shape of libvirt 9.0 or 11.3; CPU features and blockers are left out. */
export function formatDomainCapabilities(profile: Profile, query: DomainCapabilitiesQuery): string {
  const isNew = isAtLeast(profile.libvirt, [11, 0, 0]);
  const root = element('domainCapabilities', {}, [
    element('path', {}, [query.emulator]),
    element('domain', {}, [query.virtType]),
    element('machine', {}, [query.machine]),
    element('arch', {}, [query.architecture]),
    element('vcpu', { max: String(query.maxVcpus) }),
    element('iothreads', SUPPORTED),
    osElement(),
    cpuElement(profile),
    element('memoryBacking', SUPPORTED, [enumElement('sourceType', ['file', 'anonymous', 'memfd'])]),
    devicesElement(isNew),
    featuresElement(profile, query, isNew),
  ]);
  return formatXml(root);
}

function enumElement(name: string, values: readonly string[]): XmlElement {
  return element(
    'enum',
    { name },
    values.map((value) => element('value', {}, [value])),
  );
}

function osElement(): XmlElement {
  return element('os', SUPPORTED, [
    enumElement('firmware', ['efi']),
    element('loader', SUPPORTED, [
      ...OFFERED_LOADERS.map((file) => element('value', {}, [file])),
      enumElement('type', ['rom', 'pflash']),
      enumElement('readonly', ['yes', 'no']),
      enumElement('secure', ['yes', 'no']),
    ]),
  ]);
}

function cpuElement({ cpu, qemu }: Profile): XmlElement {
  const models = CPU_MODELS.flatMap(([vendor, names]) =>
    names
      .filter((name) => isKnownModel(name, qemu[0]))
      .map((name) =>
        element('model', { usable: isUsableModel(name, cpu.libvirtModel) ? 'yes' : 'no', vendor }, [name]),
      ),
  );
  const mode = (name: string, children: readonly XmlElement[]) => element('mode', { name, supported: 'yes' }, children);
  return element('cpu', {}, [
    mode('host-passthrough', [enumElement('hostPassthroughMigratable', ['on', 'off'])]),
    mode('maximum', [enumElement('maximumMigratable', ['on', 'off'])]),
    mode('host-model', [
      element('model', { fallback: 'forbid' }, [cpu.libvirtModel]),
      element('vendor', {}, ['AMD']),
      ...['x2apic', 'tsc-deadline', 'hypervisor', 'tsc_adjust', 'cmp_legacy', 'invtsc', 'virt-ssbd'].map((name) =>
        element('feature', { policy: 'require', name }),
      ),
    ]),
    mode('custom', models),
  ]);
}

const VIRTIO_MODELS = ['virtio', 'virtio-transitional', 'virtio-non-transitional'];

function devicesElement(isNew: boolean): XmlElement {
  const kind = (name: string, enums: Readonly<Record<string, readonly string[]>>) =>
    element(
      name,
      SUPPORTED,
      Object.entries(enums).map(([key, values]) => enumElement(key, values)),
    );
  return element('devices', {}, [
    kind('disk', {
      diskDevice: ['disk', 'cdrom', 'floppy', 'lun'],
      bus: ['fdc', 'scsi', 'virtio', 'usb', 'sata'],
      model: VIRTIO_MODELS,
    }),
    kind('graphics', { type: ['sdl', 'vnc', 'spice', 'egl-headless', 'dbus'] }),
    kind('video', { modelType: ['vga', 'cirrus', 'vmvga', 'qxl', 'virtio', 'none', 'bochs', 'ramfb'] }),
    kind('hostdev', {
      mode: ['subsystem'],
      startupPolicy: ['default', 'mandatory', 'requisite', 'optional'],
      subsysType: ['usb', 'pci', 'scsi'],
      capsType: [],
      pciBackend: [],
    }),
    kind('rng', { model: VIRTIO_MODELS, backendModel: ['random', 'egd', 'builtin'] }),
    kind('filesystem', { driverType: ['path', 'handle', 'virtiofs'] }),
    kind('tpm', { model: ['tpm-tis', 'tpm-crb'], backendModel: ['passthrough', 'emulator'] }),
    kind('redirdev', { bus: ['usb'] }),
    kind('channel', { type: ['pty', 'unix', 'spicevmc'] }),
    ...(isNew
      ? [
          kind('crypto', { model: ['virtio'], type: ['qemu'], backendModel: ['builtin'] }),
          kind('interface', { backendType: ['default', 'passt'] }),
          kind('panic', { model: ['isa', 'hyperv', 'pvpanic'] }),
        ]
      : []),
  ]);
}

function featuresElement(profile: Profile, query: DomainCapabilitiesQuery, isNew: boolean): XmlElement {
  const offersSev = libvirtOffersSev(profile);
  const yes = ['vmcoreinfo', 'genid', 'backingStoreInput', 'backup', ...(isNew ? ['async-teardown', 'ps2'] : [])];
  return element('features', {}, [
    element('gic', { supported: 'no' }),
    ...yes.map((name) => element(name, SUPPORTED)),
    offersSev ? sevElement(profile, query) : element('sev', { supported: 'no' }),
    element('sgx', { supported: 'no' }),
    element('hyperv', SUPPORTED, [enumElement('features', ['relaxed', 'vapic', 'spinlocks', 'vpindex', 'vendor_id'])]),
    ...(isNew ? [launchSecurityElement(offersSev)] : []),
  ]);
}

function sevElement(profile: Profile, { advertisedError, cpu0Id }: DomainCapabilitiesQuery): XmlElement {
  const { maxGuests, maxEsGuests } = advertisedLimits(profile, advertisedError);
  const leaf = (name: string, value: string | number) => element(name, {}, [String(value)]);
  return element('sev', SUPPORTED, [
    leaf('cbitpos', cBitPosition(profile.memoryEncryption)),
    leaf('reducedPhysBits', REPORTED_REDUCED_PHYS_BITS),
    leaf('maxGuests', maxGuests),
    leaf('maxESGuests', maxEsGuests),
    leaf('cpu0Id', cpu0Id()),
  ]);
}

function launchSecurityElement(offersSev: boolean): XmlElement {
  return offersSev
    ? element('launchSecurity', SUPPORTED, [enumElement('sectype', ['sev'])])
    : element('launchSecurity', { supported: 'no' });
}
