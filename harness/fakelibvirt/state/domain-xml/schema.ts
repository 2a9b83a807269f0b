import { refusal } from '../../refusal.ts';
import { parseXml } from '../xml/parse.ts';
import { attribute, child, elements, text, type XmlElement } from '../xml/tree.ts';

const SCHEMA = '/usr/share/libvirt/schemas/domain.rng';

/**
 * What VIR_DOMAIN_DEFINE_VALIDATE adds: domain.rng's rules for `<launchSecurity>`, in libxml2's words.
 *
 * The rules for other elements are not reproduced: they are checked by the parser only.
 */
export function validateAgainstSchema(xml: string): void {
  const root = parseXml(xml, 'domain_definition');
  const all = elements(root, 'launchSecurity');
  const [first] = all;
  const fault = first === undefined ? undefined : faultOf(first);
  const lines = fault !== undefined ? [fault] : all.length > 1 ? [] : undefined;
  if (lines === undefined) return;
  const report = [
    `Unable to validate doc against ${SCHEMA}`,
    ...lines,
    'Extra element launchSecurity in interleave',
    'Element domain failed to validate content',
  ];
  throw refusal('XML_INVALID_SCHEMA', 'XML', `${report.join('\n')}\n`);
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
