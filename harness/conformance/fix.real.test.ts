import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, isRemoteError, type LibvirtConnection } from '../libvirt/index.ts';
import { fixDomain, lintDomain } from './lint.ts';
import { changed, HOST, LAUNCH_SECURITY, movingDisks } from './testing/domains.ts';
import { ruleSamples } from './testing/rule-samples.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
if (uri === undefined)
  throw new Error('SEV_HARNESS_REAL_URI is not set: run npm run test:real, which starts a libvirtd');

let connection: LibvirtConnection;
beforeAll(async () => {
  connection = await connect(uri);
});
afterAll(() => connection.close());

/** For a host with neither KVM nor SEV. */
const here = (xml: string) =>
  changed(
    xml,
    [/<domain type='kvm'>/, "<domain type='qemu'>"],
    ['<name>guest<', `<name>sevh-fix-${process.pid}<`],
    [LAUNCH_SECURITY, ''],
  );

/** What libvirt keeps of a definition, or its words against it. */
async function keeps(xml: string): Promise<string> {
  try {
    const domain = await connection.defineDomain(here(xml));
    const kept = await domain.xml({ inactive: true });
    await domain.undefine({ nvram: true });
    return kept;
  } catch (error) {
    if (!isRemoteError(error)) throw error;
    return error.message;
  }
}

describe('a real libvirt takes what --fix made of', () => {
  // Debian's libvirt knows no virtio sound yet.
  const samples = ruleSamples.filter(({ isForPeople, rule }) => !isForPeople && !rule.endsWith(':sound'));

  it.each(movingDisks)('a boot disk that moved, and puts it where it boots: %s', async (_, xml) => {
    const kept = await keeps(fixDomain(xml, { profile: 'train', host: HOST }).xml);
    expect(kept).toMatch(/^<domain/);
    const encrypted = kept.replace('</domain>', "<launchSecurity type='sev'/></domain>");
    const { findings } = lintDomain(encrypted, { profile: 'train' });
    expect(findings.filter(({ rule }) => rule.startsWith('BOOT-DISK'))).toEqual([]);
  });

  it.each(samples.map((sample) => [sample.rule, sample.profile, sample] as const))(
    '%s (%s)',
    async (_, profile, { xml }) => {
      expect(await keeps(fixDomain(xml, { profile, host: HOST }).xml)).toMatch(/^<domain/);
    },
  );
});
