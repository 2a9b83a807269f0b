import { refusal } from '../../refusal.ts';
import { parseXml } from '../xml/parse.ts';
import { attribute, child, elements, text, type XmlElement } from '../xml/tree.ts';

const SCHEMA = '/usr/share/libvirt/schemas/domain.rng';

/** What domain.rng of libvirt 9.0.0 allows directly below `<domain>`. */
const TOP_LEVEL = new Set(
  (
    'blkiotune bootloader bootloader_args clock cpu cputune currentMemory defaultiothread description devices features ' +
    'genid idmap iothreadids iothreads keywrap launchSecurity maxMemory memory memoryBacking memtune metadata name ' +
    'numatune on_crash on_lockfailure on_poweroff on_reboot os perf pm resource seclabel sysinfo title uuid vcpu vcpus'
  ).split(' '),
);

/**
 * What VIR_DOMAIN_DEFINE_VALIDATE adds, in libxml2's words: which elements `<domain>` may have, and the rules for
 * `<launchSecurity>`.
 *
 * The rules for other elements are not reproduced: they are checked by the parser only.
 */
export function validateAgainstSchema(xml: string): void {
  const root = parseXml(xml, 'domain_definition');
  const foreign = elements(root).find(({ name }) => !name.includes(':') && !TOP_LEVEL.has(name));
  if (foreign !== undefined) throw invalid([`Element domain has extra content: ${foreign.name}`]);
  const all = elements(root, 'launchSecurity');
  const [first] = all;
  const fault = first === undefined ? undefined : faultOf(first);
  const lines = fault !== undefined ? [fault] : all.length > 1 ? [] : undefined;
  if (lines === undefined) return;
  throw invalid([...lines, 'Extra element launchSecurity in interleave', 'Element domain failed to validate content']);
}

function invalid(lines: readonly string[]) {
  return refusal('XML_INVALID_SCHEMA', 'XML', `${[`Unable to validate doc against ${SCHEMA}`, ...lines].join('\n')}\n`);
}

function faultOf(security: XmlElement): string | undefined {
  const type = attribute(security, 'type');
  if (type === 's390-pv') return undefined;
  if (type !== 'sev') return 'Element launchSecurity failed to validate content';
  const kernelHashes = attribute(security, 'kernelHashes');
  if (kernelHashes !== undefined && kernelHashes !== 'yes' && kernelHashes !== 'no') {
    return 'Invalid attribute kernelHashes for element launchSecurity';
  }
  const policy = child(security, 'policy');
  if (policy === undefined) return 'Expecting an element policy, got nothing';
  if (!/^\s*(0x)?[0-9a-fA-F]+\s*$/.test(text(policy) ?? '')) return 'Error validating datatype string';
  for (const name of ['cbitpos', 'reducedPhysBits']) {
    const value = child(security, name);
    if (value !== undefined && !/^\s*\+?[0-9]+\s*$/.test(text(value) ?? ''))
      return `Extra element ${name} in interleave`;
  }
  return undefined;
}
