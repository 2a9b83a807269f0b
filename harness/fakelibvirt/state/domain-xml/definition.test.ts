import { describe, expect, test } from 'vitest';
import { profiles } from '../../profiles/index.ts';
import { refusalFields } from '../../refusal.ts';
import { guestXml } from '../../server/test-guests.ts';
import { formatXml } from '../xml/format.ts';
import { parseDefinition } from './definition.ts';

const parse = (xml: string, profile: keyof typeof profiles = 'naples') =>
  parseDefinition(xml, profiles[profile], () => '00000000-0000-4000-8000-00000000abcd');

function refusedAs(xml: string, profile?: keyof typeof profiles): string {
  try {
    parse(xml, profile);
  } catch (error) {
    const fields = refusalFields(error);
    if (fields) return `${fields.code}/${fields.domain} ${fields.message}`;
    throw error;
  }
  return 'accepted';
}

const GUEST = guestXml('a');
const without = (part: string | RegExp) => GUEST.replace(part, '');
const changed = (part: string | RegExp, to: string) => GUEST.replace(part, to);
const MEMORY = /<memory.*<\/memory>/;
const OS = /<os>.*<\/os>/;
const DISK = "<disk type='file'><source file='/x'/><target dev='vda'/></disk>";
const devices = (xml: string) => guestXml('a', { devices: xml });
const extra = (xml: string) => guestXml('a', { extra: xml });

describe('what libvirt 9.0 does not accept, in its words (recorded from a session libvirtd)', () => {
  test.each<[string, string, string]>([
    ['nothing', '', '35/20 (domain_definition):1: Document is empty\n(null)\n^'],
    ['no XML', 'not xml', "35/20 (domain_definition):1: Start tag expected, '<' not found\nnot xml\n^"],
    [
      'half a document',
      '<domain type="qemu"><name>a',
      `35/20 (domain_definition):1: Premature end of data in tag name line 1\n<domain type="qemu"><name>a\n${'-'.repeat(27)}^`,
    ],
    ['another root', '<network/>', "27/5 XML error: expecting root element of 'domain', not 'network'"],
    ['no type', '<domain><name>a</name></domain>', '1/20 internal error: missing domain type attribute'],
    ['an unknown type', changed("'kvm'", "'bogus'"), '67/20 unsupported configuration: invalid domain type bogus'],
    [
      'the type of another hypervisor',
      changed("'kvm'", "'xen'"),
      "67/10 unsupported configuration: Emulator '/usr/bin/qemu-system-x86_64' does not support virt type 'xen'",
    ],
    ['no name', without('<name>a</name>'), '21/20 missing name information'],
    ['an empty name', changed('<name>a<', '<name><'), '21/20 missing name information'],
    ['a name with a slash', changed('<name>a<', '<name>a/b<'), "27/20 XML error: name a/b cannot contain '/'"],
    ['a name of two lines', changed('<name>a<', '<name>a\nb<'), '35/5 invalid char in name: \n'],
    ['a bad uuid', changed('<name>', '<uuid>zzz</uuid><name>'), '1/20 internal error: malformed uuid element'],
    [
      'no memory',
      without(MEMORY),
      '27/20 XML error: Memory size must be specified via <memory> or in the <numa> configuration',
    ],
    [
      'memory in words',
      changed(MEMORY, '<memory>lots</memory>'),
      "27/5 XML error: Invalid value 'lots' for element or attribute './memory[1]'",
    ],
    [
      'negative memory',
      changed(MEMORY, '<memory>-5</memory>'),
      "27/5 XML error: Invalid value '-5' for element or attribute './memory[1]'",
    ],
    [
      'an unknown unit',
      changed(MEMORY, "<memory unit='parsec'>5</memory>"),
      "8/0 invalid argument: unknown suffix 'parsec'",
    ],
    ['no os', without(OS), '27/20 XML error: an os <type> must be specified'],
    ['an unknown os type', changed('>hvm<', '>linuxx<'), "67/20 unsupported configuration: unknown OS type 'linuxx'"],
    [
      'the os type of another hypervisor',
      changed('>hvm<', '>linux<'),
      "67/10 unsupported configuration: Emulator '/usr/bin/qemu-system-x86_64' does not support os type 'linux'",
    ],
    [
      'an unknown architecture',
      changed('x86_64', 'foo64'),
      '67/20 unsupported configuration: Unknown architecture foo64',
    ],
    [
      'another architecture',
      changed('x86_64', 'aarch64'),
      "67/10 unsupported configuration: No emulator found for arch 'aarch64'",
    ],
    ['vcpus in words', changed('<vcpu>1', '<vcpu>x'), '27/20 XML error: maximum vcpus count must be an integer'],
    ['no vcpu at all', changed('<vcpu>1', '<vcpu>0'), '1/20 internal error: CPU IDs in <numa> exceed the <vcpu> count'],
    [
      'too many vcpus',
      changed('<vcpu>1', '<vcpu>9999'),
      '67/10 unsupported configuration: Maximum CPUs greater than specified machine type limit 288',
    ],
    [
      'an unknown feature',
      changed('<acpi/>', '<bogus/>'),
      "67/20 unsupported configuration: unexpected feature 'bogus'",
    ],
    [
      'an unknown action',
      extra('<on_reboot>bogus</on_reboot>'),
      '67/20 unsupported configuration: unknown on_reboot action: bogus',
    ],
    [
      'an unknown crash action',
      extra('<on_crash>bogus</on_crash>'),
      '67/20 unsupported configuration: unknown on_crash action: bogus',
    ],
    [
      'an action that QEMU lacks',
      extra('<on_reboot>preserve</on_reboot>'),
      "67/10 unsupported configuration: qemu driver doesn't support the 'preserve' action for 'on_reboot'/'on_poweroff'",
    ],
    [
      'actions that contradict each other',
      extra('<on_poweroff>restart</on_poweroff><on_reboot>destroy</on_reboot>'),
      "67/10 unsupported configuration: qemu driver doesn't support 'onReboot' set to 'destroy and 'onPoweroff' set to 'reboot'",
    ],
    [
      'a disk without target',
      devices("<disk type='file'><source file='/x'/></disk>"),
      '20/20 missing target information for device /x',
    ],
    [
      'an unknown disk',
      devices("<disk type='bogus'><target dev='vda'/></disk>"),
      "27/5 XML error: Invalid value for attribute 'type' in element 'disk': 'bogus'.",
    ],
    [
      'one target twice',
      devices(DISK + DISK),
      "27/20 XML error: target 'vda' duplicated for disk sources '/x' and '/x'",
    ],
    [
      'an unknown interface',
      devices("<interface type='bogus'/>"),
      "27/5 XML error: Invalid value for attribute 'type' in element 'interface': 'bogus'.",
    ],
    [
      'a bad MAC',
      devices("<interface type='user'><mac address='zz'/></interface>"),
      "27/20 XML error: unable to parse mac address 'zz'",
    ],
    ['rng without backend', devices("<rng model='virtio'/>"), '27/20 XML error: only one RNG backend is supported'],
    [
      'UEFI without ACPI',
      changed('<acpi/>', '').replace(
        '</os>',
        "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader></os>",
      ),
      '67/10 unsupported configuration: UEFI requires ACPI on this architecture',
    ],
    [
      'automatic firmware with secure=no',
      changed('<os>', "<os firmware='efi'>").replace('</os>', "<loader secure='no'/></os>"),
      "35/20 loader attribute 'secure' cannot be specified when firmware autoselection is enabled",
    ],
  ])('%s', (_, xml, expected) => {
    expect(refusedAs(xml)).toBe(expected);
  });

  test('SEV-SNP where libvirt 9.0 does not know it, and where 11.3 knows it and QEMU has none', () => {
    const snp = guestXml('a').replace(
      '</domain>',
      "<launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity></domain>",
    );
    expect(refusedAs(snp, 'milan')).toBe(
      "27/5 XML error: Invalid value for attribute 'type' in element 'launchSecurity': 'sev-snp'.",
    );
    expect(refusedAs(snp, 'genoa')).toBe(
      "67/10 unsupported configuration: 'sev-snp' launch security is not supported with this QEMU binary",
    );
  });

  test.each(['no-sev', 'sev-off-in-bios', 'sev-off-in-kernel', 'stale-capabilities'] as const)(
    'SEV on %s',
    (profile) => {
      const text = '67/10 unsupported configuration: SEV launch security is not supported with this QEMU binary';
      expect(refusedAs(guestXml('a', { policy: '0x3' }), profile)).toBe(text);
    },
  );
});

describe('what a definition keeps', () => {
  test('metadata comes back whole, with namespaces, mixed text and characters that need escaping', () => {
    const metadata =
      '<r:run xmlns:r="urn:sev:run" r:note="1 &lt; 2 &amp; \'quoted\'">mixed <r:id>a &gt; b</r:id> text</r:run>';
    const printed = formatXml(parse(guestXml('a', { extra: `<metadata>${metadata}</metadata>` })).tree);
    expect(printed).toContain(`  <metadata>\n    ${metadata}\n  </metadata>\n`);
  });

  test('elements that libvirt does not know are kept', () => {
    const { tree } = parse(guestXml('a', { extra: "<wizardry level='9'/>", devices: "<teleporter range='far'/>" }));
    expect(formatXml(tree)).toMatch(/<wizardry level='9'\/>/);
    expect(formatXml(tree)).toMatch(/<teleporter range='far'\/>/);
  });

  test('its own output is read back to the same output', () => {
    const once = formatXml(
      parse(
        guestXml('a', {
          policy: '0x3',
          devices: `${DISK}<graphics type='vnc'/><channel type='unix'><target type='virtio' name='c'/></channel>`,
        }),
      ).tree,
    );
    expect(formatXml(parse(once).tree)).toBe(once);
  });

  test('policy in decimal or hex, SEV values that the user left out stay out', () => {
    expect(formatXml(parse(guestXml('a', { policy: '33' })).tree)).toContain(
      "  <launchSecurity type='sev'>\n    <policy>0x0033</policy>\n  </launchSecurity>\n",
    );
  });

  test('current memory above the maximum is cut; a generated uuid and a MAC address are filled in', () => {
    const definition = parse(
      guestXml('a', { extra: '<currentMemory>99999999</currentMemory>', devices: "<interface type='user'/>" }),
    );
    expect(definition).toMatchObject({
      memoryKiB: 65536,
      currentMemoryKiB: 65536,
      uuid: '00000000-0000-4000-8000-00000000abcd',
    });
    expect(formatXml(definition.tree)).toMatch(/<mac address='52:54:00(:[0-9a-f]{2}){3}'\/>/);
  });
});
