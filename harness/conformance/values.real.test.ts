import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type LibvirtConnection } from '../libvirt/index.ts';
import { lintDomain } from './lint.ts';
import { tryDomain } from './trial.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
if (uri === undefined)
  throw new Error('SEV_HARNESS_REAL_URI is not set: run npm run test:real, which starts a libvirtd');

const name = `sevh-values-${process.pid}`;
const domain = (security: string, rest = '') => `<domain type='qemu'>
  <name>${name}</name><memory unit='MiB'>64</memory>${rest}
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <launchSecurity type='sev'>${security}</launchSecurity>
</domain>`;
const hardLimit = (xml: string) => domain('<policy>0x33</policy>', `<memtune>${xml}</memtune>`);

const policies = ['0x33', '33', ' 0x33', '0x33 ', '0x33\n', '0X33', '+33', '-1', '0x', '', 'zz', '0x33 0', '0x+33'];
const morePolicies = ['ffffffff', '0x100000000', '<![CDATA[0x33]]>', '0x<!-- c -->33', '&#51;3', '3&#160;', '\uff13'];
const numbers = [
  '47',
  ' 47',
  '47 ',
  '\n47\n',
  '+47',
  '-1',
  '0x2f',
  '047',
  '4294967295',
  '4294967296',
  '4.7',
  '47&#160;',
];
const limits = [
  "<hard_limit unit='GiB'>1</hard_limit>",
  "<hard_limit unit='gib'>1</hard_limit>",
  "<hard_limit unit='g'>1</hard_limit>",
  "<hard_limit unit='GB'>1</hard_limit>",
  "<hard_limit unit='p'>1</hard_limit>",
  "<hard_limit unit='bytes'>1073741824</hard_limit>",
  "<hard_limit unit='GiBs'>1</hard_limit>",
  "<hard_limit unit='MiB'> 1024 </hard_limit>",
  '<hard_limit>x</hard_limit>',
];

let connection: LibvirtConnection;
beforeAll(async () => {
  connection = await connect(uri);
});
afterAll(() => connection.close());

/** A host without SEV refuses the guest only after libvirt has read all of it. */
async function isRead(xml: string): Promise<boolean> {
  const { diagnosis, outcome } = await tryDomain(connection, name, xml);
  return outcome !== 'refused at define' || diagnosis === 'sev-unsupported';
}

function finds(xml: string, rule: string): boolean {
  return lintDomain(xml, { profile: 'modern' }).findings.some((finding) => finding.rule === rule);
}

describe('the linter reads a value exactly where a real libvirt does', () => {
  it.each([...policies, ...morePolicies])('<policy>%j', async (text) => {
    const xml = domain(`<policy>${text}</policy>`);
    expect(finds(xml, 'POLICY-MISSING')).toBe(!(await isRead(xml)));
  });

  it.each(numbers)('<cbitpos>%j, <reducedPhysBits>%j', async (text) => {
    const [cbitpos, reduced] = ['cbitpos', 'reducedPhysBits'].map((element) =>
      domain(`<${element}>${text}</${element}><policy>0x33</policy>`),
    ) as [string, string];
    expect(finds(cbitpos, 'CBITPOS-MISMATCH')).toBe(!(await isRead(cbitpos)));
    expect(finds(reduced, 'REDUCEDPHYSBITS-MISMATCH')).toBe(!(await isRead(reduced)));
  });

  it.each(limits)('%s', async (text) => {
    expect(finds(hardLimit(text), 'MEMORY-NOT-LOCKED')).toBe(!(await isRead(hardLimit(text))));
  });

  it.each([
    ["']]>' in a text", domain('<policy>0x33</policy>', '<title>a]]>b</title>')],
    ['a namespace', domain('<policy>0x33</policy>').replace('<domain ', "<domain xmlns='urn:x' ")],
  ])('%s is no domain to either', async (_, xml) => {
    expect(await isRead(xml)).toBe(false);
    expect(() => lintDomain(xml, { profile: 'modern' })).toThrow();
  });
});
