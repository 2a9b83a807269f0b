import { XMLParser } from 'fast-xml-parser';

/** What the XML of a running domain says about its launch; nothing of it is to be trusted. */
export interface DomainFacts {
  /** Type of `<launchSecurity>`; `undefined` without one. */
  readonly launchSecurity: string | undefined;
  readonly kernelHashes: boolean;
  /** Base64 text of `<dhCert>` and `<session>`. */
  readonly dhCert: string | undefined;
  readonly session: string | undefined;
  readonly hasNvram: boolean;
  readonly loader: string | undefined;
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly cmdline: string | undefined;
}

/** What libvirt's `domlaunchsecinfo` says; fields are missing before libvirt 8.0.0. */
export interface HostLaunch {
  readonly measurement: string | undefined;
  readonly apiMajor: number | undefined;
  readonly apiMinor: number | undefined;
  readonly buildId: number | undefined;
  readonly policy: number | undefined;
  /** What libvirt answered in place of a measurement. */
  readonly refusal?: string;
}

export interface CpuSignature {
  readonly family: string;
  readonly model: string;
  readonly stepping: string;
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  // A command line may begin or end with a space, and is measured with it.
  trimValues: false,
  // Numeric references too, which libvirt writes for control characters.
  htmlEntities: true,
});

export function parseDomainFacts(xml: string): DomainFacts {
  const domain = child(parseDocument(xml), 'domain');
  const os = child(domain, 'os');
  const security = child(domain, 'launchSecurity');
  return {
    launchSecurity: attribute(security, 'type'),
    kernelHashes: attribute(security, 'kernelHashes') === 'yes',
    dhCert: text(security, 'dhCert')?.trim(),
    session: text(security, 'session')?.trim(),
    hasNvram: isElement(os) && 'nvram' in os,
    loader: text(os, 'loader'),
    kernel: text(os, 'kernel'),
    initrd: text(os, 'initrd'),
    cmdline: text(os, 'cmdline'),
  };
}

/** `<signature>` of the host's CPU in libvirt's capabilities (since 8.5.0). */
export function parseCpuSignature(xml: string): CpuSignature | undefined {
  const cpu = child(child(child(parseDocument(xml), 'capabilities'), 'host'), 'cpu');
  const signature = child(cpu, 'signature');
  const [family, model, stepping] = ['family', 'model', 'stepping'].map((name) => attribute(signature, name));
  if (family === undefined || model === undefined || stepping === undefined) return undefined;
  return { family, model, stepping };
}

/** `undefined` for what is not XML. */
function parseDocument(xml: string): unknown {
  try {
    return parser.parse(xml);
  } catch {
    return undefined;
  }
}

function isElement(node: unknown): node is Record<string, unknown> {
  return typeof node === 'object' && node !== null;
}

/** The first element of that name. */
function child(node: unknown, name: string): unknown {
  const found = isElement(node) && Object.hasOwn(node, name) ? node[name] : undefined;
  return Array.isArray(found) ? found[0] : found;
}

function attribute(node: unknown, name: string): string | undefined {
  const value = child(node, `@${name}`);
  return typeof value === 'string' ? value : undefined;
}

function text(node: unknown, name: string): string | undefined {
  const found = child(node, name);
  const value = isElement(found) ? child(found, '#text') : found;
  return typeof value === 'string' ? value : undefined;
}
