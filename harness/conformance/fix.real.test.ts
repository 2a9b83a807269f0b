import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, isRemoteError, type LibvirtConnection } from '../libvirt/index.ts';
import { fixDomain } from './lint.ts';
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

/** libvirt's words against the definition; empty when it takes it. */
async function objection(xml: string): Promise<string> {
  try {
    const domain = await connection.defineDomain(here(xml));
    await domain.undefine({ nvram: true });
    return '';
  } catch (error) {
    if (!isRemoteError(error)) throw error;
    return error.message;
  }
}

describe('a real libvirt takes what --fix made of', () => {
  // Debian's libvirt knows no virtio sound yet.
  const samples = ruleSamples.filter(({ isForPeople, rule }) => !isForPeople && !rule.endsWith(':sound'));

  it.each(movingDisks)('a boot disk that moved: %s', async (_, xml) => {
    expect(await objection(xml)).toBe('');
    expect(await objection(fixDomain(xml, { profile: 'train', host: HOST }).xml)).toBe('');
  });

  it.each(samples.map((sample) => [sample.rule, sample.profile, sample] as const))(
    '%s (%s)',
    async (_, profile, { xml }) => {
      expect(await objection(fixDomain(xml, { profile, host: HOST }).xml)).toBe('');
    },
  );
});
