import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { type ProfileName, startEmulatedHost } from '../index.ts';
import { TestClient } from './test-client.ts';

const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../../shared');
const read = (file: string) => readFileSync(path.join(shared, 'recordings', file), 'utf8');

interface Refused {
  readonly code: number;
  readonly domain: number;
  readonly message: string;
}
type Outcome = 'ok' | Refused;
interface RecordedCase {
  readonly case: string;
  readonly validate?: Outcome;
  readonly define?: Outcome;
  readonly start?: Outcome;
}

const LOADER = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>";
interface Shape {
  type?: string;
  machine?: string;
  osAttributes?: string;
  loader?: string;
  kernel?: string;
  features?: string;
  backing?: string;
  memtune?: string;
  emulator?: string;
  devices?: string;
  security?: string;
}

/** The recordings name their cases; these are the documents that the names stand for. */
function documentOf(shape: Shape): string {
  const s = { type: 'kvm', machine: 'q35', loader: LOADER, backing: '<locked/>', security: sev(), ...shape };
  return `<domain type='${s.type}'><name>recorded</name><uuid>00000000-0000-4000-8000-000000000001</uuid><memory unit='MiB'>256</memory>${s.memtune ?? ''}
    ${s.backing === '' ? '' : `<memoryBacking>${s.backing}</memoryBacking>`}<vcpu>1</vcpu>
    <os${s.osAttributes ?? ''}><type arch='x86_64' machine='${s.machine}'>hvm</type>${s.loader}${s.kernel ?? ''}</os>
    <features><acpi/>${s.features ?? ''}</features><devices><emulator>${s.emulator ?? '/usr/bin/qemu-system-x86_64'}</emulator>
    ${s.devices ?? ''}</devices>${s.security}</domain>`;
}

function sev(
  children: { policy?: string | null; cbitpos?: string | null; reduced?: string | null; more?: string } = {},
  attributes = '',
) {
  const leaf = (name: string, value: string | null | undefined, fallback: string) =>
    value === null ? '' : `<${name}>${value ?? fallback}</${name}>`;
  const inner =
    leaf('cbitpos', children.cbitpos, '47') +
    leaf('reducedPhysBits', children.reduced, '1') +
    leaf('policy', children.policy, '0x0003');
  return `<launchSecurity type='sev'${attributes}>${inner}${children.more ?? ''}</launchSecurity>`;
}

const DISK =
  "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/x.qcow2'/><target dev='vda' bus='virtio'/></disk>";
const IOMMU_DISK =
  "<disk type='file' device='disk'><driver name='qemu' type='qcow2' iommu='on'/><source file='/var/lib/x.qcow2'/><target dev='sda' bus='sata'/></disk>";

const SHAPES: Readonly<Record<string, Shape>> = {
  'baseline kvm q35+OVMF+locked policy 0x0003': {},
  'baseline type=qemu (TCG)': { type: 'qemu' },
  'no loader (SeaBIOS)': { loader: '' },
  'i440fx machine': { machine: 'pc' },
  'no locked, no hard_limit': { backing: '' },
  'hard_limit instead of locked': {
    backing: '',
    memtune: "<memtune><hard_limit unit='MiB'>512</hard_limit></memtune>",
  },
  'stateless loader': { loader: LOADER.replace("type='pflash'", "type='pflash' stateless='yes'") },
  'firmware=efi autoselect': { osAttributes: " firmware='efi'", loader: '', kernel: '<kernel>/boot/vmlinuz</kernel>' },
  'firmware=efi autoselect no kernel': { osAttributes: " firmware='efi'", loader: '' },
  'loader path missing file': { loader: LOADER.replace('/usr/share/OVMF/OVMF_CODE_4M.fd', '/nonexistent/OVMF.fd') },
  'missing policy': { security: sev({ policy: null }) },
  'policy not a number': { security: sev({ policy: 'strict' }) },
  'policy negative': { security: sev({ policy: '-1' }) },
  'policy too large 0x1ffffffff': { security: sev({ policy: '0x1ffffffff' }) },
  'policy decimal 3 without 0x': { security: sev({ policy: '3' }) },
  'policy unknown bits 0xffff0000': { security: sev({ policy: '0xffff0000' }) },
  'policy SEV-ES 0x0007': { security: sev({ policy: '0x0007' }) },
  'missing cbitpos+reducedPhysBits': { security: sev({ cbitpos: null, reduced: null }) },
  'cbitpos not a number': { security: sev({ cbitpos: 'abc' }) },
  'cbitpos 99 out of range': { security: sev({ cbitpos: '99' }) },
  'reducedPhysBits not number': { security: sev({ reduced: 'one' }) },
  'dhCert without session': { security: sev({ more: '<dhCert>QUJD</dhCert>' }) },
  'session without dhCert': { security: sev({ more: '<session>QUJD</session>' }) },
  'dhCert not base64': { security: sev({ more: '<dhCert>!!!</dhCert><session>!!!</session>' }) },
  'dhCert empty': { security: sev({ more: '<dhCert></dhCert>' }) },
  'dhCert+session valid base64 garbage': { security: sev({ more: '<dhCert>QUJD</dhCert><session>QUJD</session>' }) },
  'kernelHashes=yes with kernel': {
    security: sev({}, " kernelHashes='yes'"),
    kernel: '<kernel>/boot/vmlinuz</kernel>',
  },
  'kernelHashes=yes without kernel': { security: sev({}, " kernelHashes='yes'") },
  'same again': {},
  'kernelHashes=maybe': { security: sev({}, " kernelHashes='maybe'") },
  'launchSecurity type missing': { security: sev().replace(" type='sev'", '') },
  'launchSecurity type=sev-snp': { security: sev().replace("'sev'", "'sev-snp'") },
  'launchSecurity type=tdx': { security: sev().replace("'sev'", "'tdx'") },
  'launchSecurity type=s390-pv': { security: "<launchSecurity type='s390-pv'/>" },
  'launchSecurity type=bogus': { security: sev().replace("'sev'", "'bogus'") },
  'two launchSecurity': { security: sev() + sev() },
  'SEV + hugepages no locked': { backing: '<hugepages/>' },
  'SEV + virtio-blk disk no iommu': { devices: DISK },
  'SEV + pflash secure=yes no smm': { loader: LOADER.replace("type='pflash'", "secure='yes' type='pflash'") },
  'iommu=on on non-virtio device': { devices: IOMMU_DISK },
  'unknown machine': { machine: 'pc-q35-99.0' },
  'missing emulator': { emulator: '/usr/bin/qemu-nope' },
};

/** Recorded outcomes that the emulated host does not give, each with its reason. */
const UNCOVERED: Readonly<Record<string, string>> = {
  'hard_limit instead of locked start': 'the recording machine may not lock memory (no CAP_SYS_RESOURCE)',
  'missing cbitpos+reducedPhysBits start':
    'libvirt filled in the C-bit of an edited cache, which the recording machine lacks',
};

/** Started behind a shim, or not started for what the recording machine may not do: neither says anything about a host with SEV. */
function isOfTheMachine(start: Outcome): boolean {
  return start === 'ok' || /cannot limit locked memory|'\/dev\/sev' is not accessible/.test(start.message);
}

/** Process and time of the recording, and the C-bit of its CPU, which had none. */
function normalized(outcome: Outcome): string {
  if (outcome === 'ok') return 'ok';
  const message = outcome.message
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/host '\d+' requested '\d+'/, "host 'N' requested 'M'")
    .replace('/shim/qemu-system-x86_64', '/usr/bin/qemu-system-x86_64');
  return `${outcome.code}/${outcome.domain} ${message}`;
}

async function outcomeOf(run: () => Promise<unknown>): Promise<Outcome> {
  try {
    await run();
    return 'ok';
  } catch (error) {
    return error as Refused;
  }
}

/** SEV-SNP is not emulated: the emulated host of libvirt 11.3 refuses what the recorded one, behind a shim, takes. */
const isSnp = ({ case: name }: RecordedCase) => /^SNP |type=sev-snp$/.test(name);

const recordings: readonly (readonly [file: string, profile: ProfileName, covers: (one: RecordedCase) => boolean])[] = [
  ['nosev-9.0.0.json', 'no-sev', () => true],
  ['sevcaps-9.0.0.json', 'naples', () => true],
  ['sevcaps-nolock-nocgroup-9.0.0.json', 'naples', () => true],
  ['shim-11.3.0.json', 'genoa', (one) => !isSnp(one)],
];

describe.each(recordings)('%s, on %s', (file, profile, covers) => {
  const all = JSON.parse(read(file)) as RecordedCase[];
  const cases = all.filter((one) => !(one.case in UNCOVERED) && covers(one));

  test('every recorded case is known here', () => {
    expect(cases.map((one) => one.case).filter((name) => SHAPES[name] === undefined)).toEqual([]);
  });

  test.each(cases.map((one) => [one.case, one] as const))('%s', async (name, recorded) => {
    await using host = await startEmulatedHost({ profile });
    await using client = await TestClient.open(host.socketPath);
    const xml = documentOf(SHAPES[name] ?? {});
    const define = (document: string, flags: number) =>
      client.call(remote.domainDefineXmlFlags, { xml: document, flags });
    if (recorded.validate) {
      expect(normalized(await outcomeOf(() => define(xml, 1)))).toBe(normalized(recorded.validate));
    }
    if (recorded.define) expect(normalized(await outcomeOf(() => define(xml, 0)))).toBe(normalized(recorded.define));
    if (recorded.start === undefined || `${name} start` in UNCOVERED || isOfTheMachine(recorded.start)) return;
    // The recording machine has no C-bit; here the same refusal takes a C-bit that is not the host's.
    const { dom } = await client.call(remote.domainLookupByName, { name: 'recorded' });
    await client.call(remote.domainUndefineFlags, { dom, flags: 4 });
    const other = xml.replaceAll('<cbitpos>47</cbitpos>', '<cbitpos>51</cbitpos>');
    const again = (await define(other, 0)).dom;
    const started = await outcomeOf(() => client.call(remote.domainCreate, { dom: again }));
    expect(normalized(started)).toBe(normalized(recorded.start));
  });
});

// Not the controllers: nova's USB controller is conventional PCI there, behind a bridge that is not reproduced here.
test('the inactive XML of a nova guest has the elements and devices that libvirt 9.0 gave it', async () => {
  const { parseXml } = await import('../state/xml/parse.ts');
  const { elements, child } = await import('../state/xml/tree.ts');
  const given = readFileSync(path.join(shared, 'vectors/nova-xml/2024.1--sev-flavor-default-disk.xml'), 'utf8');
  const expected = readFileSync(
    path.resolve(import.meta.dirname, '../state/domain-xml/recordings/nova.inactive.xml'),
    'utf8',
  );
  await using host = await startEmulatedHost({ profile: 'naples' });
  await using client = await TestClient.open(host.socketPath);
  const { dom } = await client.call(remote.domainDefineXml, { xml: given });
  const { xml } = await client.call(remote.domainGetXmlDesc, { dom, flags: 0 });
  const outline = (source: string) => {
    const root = parseXml(source, 'domain_definition');
    const devices = child(root, 'devices');
    return [...elements(root), ...(devices ? elements(devices) : [])]
      .map((one) => one.name)
      .filter((name) => name !== 'controller');
  };
  expect(outline(xml)).toEqual(outline(expected));
});
