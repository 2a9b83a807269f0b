import { XMLBuilder } from 'fast-xml-parser';
import { harnessError } from '../errors.ts';
import type { SevFacts } from '../host/facts.ts';
import { METADATA_NAMESPACE, type Owner } from './ownership.ts';

/** What protects the guest's memory. */
export type GuestKind = 'plain' | 'sev' | 'sev-es';

export interface GuestSpec {
  readonly name: string;
  readonly kind: GuestKind;
  readonly memoryMiB: number;
  /** What the guest owner gave for the launch, base64. */
  readonly session?: { readonly dhCert: string; readonly session: string };
  /** Overrides the policy that the kind implies. */
  readonly policy?: number;
  /** A kernel of the host to be booted directly. */
  readonly boot?: { readonly kernel: string; readonly initrd?: string; readonly cmdline: string };
  /** QEMU measures the hashes of what is booted directly (`kernelHashes='yes'`); the guest firmware must be an AmdSev build. */
  readonly isBootMeasured?: boolean;
  /** Another guest firmware than the one that is picked from what the host offers. */
  readonly loader?: string;
  /** What lets QEMU pin the guest's memory; when absent encrypted guests are locked and plain ones are not limited. */
  readonly memoryLimit?: 'locked' | 'none' | { readonly hardLimitMiB: number };
  /** All of its memory is taken from the host at the start, and not page by page when the guest first writes it. */
  readonly isPreallocated?: boolean;
  /** How it gets its UEFI firmware; `stateless` when absent. */
  readonly firmware?: FirmwareForm;
  /** q35 when absent; `pc` is i440FX, which the seed article discourages, with non-transitional virtio devices. */
  readonly machine?: 'q35' | 'pc';
  readonly virtio?: VirtioDevices;
  /** Devices besides those of every guest: libvirt's `<devices>`, attributes with an `@`. */
  readonly devices?: Readonly<Record<string, unknown>>;
}

/**
 * `stateless`: code in pflash and no variables. `nvram`: code and a file of variables, which libvirt makes from the
 * firmware's template. `auto`: libvirt chooses both (`firmware='efi'`). Only a defined guest can be rid of its variables.
 */
export type FirmwareForm = 'stateless' | 'nvram' | 'auto';

/** What the agent works with, beside the random number generator of every guest. */
export interface VirtioDevices {
  /** A console whose output nobody keeps: what the guest writes to it goes through the memory of a device. */
  readonly hasConsole?: boolean;
  /** A raw image on the host, read only, so that several guests can have it. */
  readonly disk?: string;
}

/** nova's policy: NODBG, NOKS, DOMAIN and SEV ("which equates to 0x0033"); SEV-ES adds its bit. */
const POLICY: Readonly<Record<Exclude<GuestKind, 'plain'>, number>> = { sev: 0x0033, 'sev-es': 0x0037 };

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  format: true,
  suppressEmptyNode: true,
});

/**
 * Domain XML of a guest without network, as both seed documents ask: q35 unless told otherwise, UEFI from pflash, locked memory, and
 * `iommu='on'` on every virtio device. Stateless firmware, because an NVRAM file would outlive a transient domain.
 */
export function guestXml(spec: GuestSpec, facts: SevFacts, owner: Owner): string {
  const encrypted = spec.kind !== 'plain';
  const { firmware = 'stateless', machine = 'q35' } = spec;
  return builder.build({
    domain: {
      '@type': facts.virtType,
      name: spec.name,
      metadata: { 'sevh:run': ownerAttributes(owner) },
      memory: { '@unit': 'MiB', '#text': spec.memoryMiB },
      ...memoryTuning(spec.memoryLimit ?? (encrypted ? 'locked' : 'none'), spec.isPreallocated ?? false),
      vcpu: 1,
      os: {
        ...(firmware === 'auto' ? { '@firmware': 'efi' } : {}),
        type: { '@arch': 'x86_64', '@machine': machine, '#text': 'hvm' },
        ...spec.boot,
        ...(firmware === 'auto' ? WITHOUT_SECURE_BOOT : loader(spec.loader ?? usualLoader(facts), firmware)),
      },
      features: { acpi: {}, apic: {} },
      ...(facts.virtType === 'qemu' ? {} : { cpu: { '@mode': 'host-passthrough' } }),
      on_poweroff: 'destroy',
      on_reboot: 'restart',
      on_crash: 'destroy',
      devices: {
        serial: { '@type': 'pty' },
        memballoon: { '@model': 'none' },
        ...virtioDevices(spec.virtio ?? {}, VIRTIO_MODEL[machine], encrypted ? { '@iommu': 'on' } : undefined),
        ...spec.devices,
      },
      ...(encrypted ? { launchSecurity: launchSecurity(spec, facts) } : {}),
    },
  });
}

/** Secure Boot needs SMM, which SEV guests cannot have. */
const WITHOUT_SECURE_BOOT = { firmware: { feature: { '@enabled': 'no', '@name': 'secure-boot' } } };

/** On i440FX a virtio device is on a conventional PCI slot, where it would be transitional: those do without an IOMMU. */
const VIRTIO_MODEL = { q35: 'virtio', pc: 'virtio-non-transitional' } as const;

/** The image of every guest that asks for no other. Throws `GUEST_FILE_UNUSABLE` where libvirt offers images and none is of use; where it offers none a guest has no UEFI. */
export function usualLoader({ loaders, refusedLoaders }: SevFacts): string | undefined {
  const refused = Object.entries(refusedLoaders).map(([path, why]) => `${path} (${why})`);
  if (loaders.length > 0 || refused.length === 0) return loaders[0];
  throw harnessError('GUEST_FILE_UNUSABLE', `libvirt offers no guest firmware of use: ${refused.join(', ')}`, {
    hint: 'Install a raw OVMF image for x86_64 with its firmware descriptor (Debian: ovmf, Fedora: edk2-ovmf).',
  });
}

function loader(path: string | undefined, form: 'stateless' | 'nvram') {
  if (path === undefined) return {};
  const stateless = form === 'stateless' ? { '@stateless': 'yes' } : {};
  return {
    loader: { '@readonly': 'yes', '@type': 'pflash', ...stateless, '#text': path },
    ...(form === 'nvram' ? { nvram: { '@template': path.replace('_CODE', '_VARS') } } : {}),
  };
}

function virtioDevices(
  { disk, hasConsole }: VirtioDevices,
  model: (typeof VIRTIO_MODEL)[keyof typeof VIRTIO_MODEL],
  options: { '@iommu': 'on' } | undefined,
) {
  const driver = options === undefined ? {} : { driver: options };
  const controllerModel = model === 'virtio' ? {} : { '@model': model };
  const controllers = [
    ...(hasConsole ? [{ '@type': 'virtio-serial', '@index': 0, ...controllerModel, ...driver }] : []),
    // Not virtio-blk, from which no SEV guest may boot: the first disk is taken for the boot disk.
    ...(disk === undefined
      ? []
      : [{ '@type': 'scsi', '@index': 0, '@model': model === 'virtio' ? 'virtio-scsi' : model, ...driver }]),
  ];
  return {
    rng: { '@model': model, ...driver, backend: { '@model': 'random', '#text': '/dev/urandom' } },
    ...(controllers.length > 0 ? { controller: controllers } : {}),
    ...(hasConsole
      ? {
          console: [
            { '@type': 'pty', target: { '@type': 'serial' } },
            { '@type': 'null', target: { '@type': 'virtio' } },
          ],
        }
      : {}),
    ...(disk === undefined
      ? {}
      : {
          disk: {
            '@type': 'file',
            driver: { '@name': 'qemu', '@type': 'raw' },
            source: { '@file': disk },
            target: { '@dev': 'sda', '@bus': 'scsi' },
            readonly: {},
          },
        }),
  };
}

function memoryTuning(limit: NonNullable<GuestSpec['memoryLimit']>, isPreallocated: boolean) {
  const backing = {
    ...(limit === 'locked' ? { locked: {} } : {}),
    ...(isPreallocated ? { allocation: { '@mode': 'immediate' } } : {}),
  };
  return {
    ...(typeof limit === 'object' ? { memtune: { hard_limit: { '@unit': 'MiB', '#text': limit.hardLimitMiB } } } : {}),
    ...(Object.keys(backing).length > 0 ? { memoryBacking: backing } : {}),
  };
}

function launchSecurity(spec: GuestSpec & { kind: GuestKind }, facts: SevFacts) {
  const sev = facts.domainCapabilities;
  const policy = spec.policy ?? kindPolicy(spec.kind);
  return {
    '@type': 'sev',
    ...(spec.isBootMeasured ? { '@kernelHashes': 'yes' } : {}),
    // Both depend on the processor family and come from the domain capabilities (nova specification, "SEV launch-time configuration").
    ...(sev === undefined ? {} : { cbitpos: sev.cbitpos, reducedPhysBits: sev.reducedPhysBits }),
    policy: `0x${policy.toString(16).padStart(4, '0')}`,
    ...spec.session,
  };
}

/** The policy of a guest of this kind when nobody asks for another. */
export function kindPolicy(kind: GuestKind): number {
  return kind === 'plain' ? 0 : POLICY[kind];
}

function ownerAttributes(owner: Owner) {
  return {
    '@xmlns:sevh': METADATA_NAMESPACE,
    '@id': owner.runId,
    '@machine': owner.machine,
    '@place': owner.place,
    '@pid': owner.pid,
    '@startTicks': owner.startTicks,
  };
}
