import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isNoDomain, isOperationInvalid } from '../libvirt/index.ts';
import { refusalOf } from './refusal.ts';
import type { ContractHost } from './target.ts';

const notRunning = (domain: number) => [55, domain, 'Requested operation is not valid: domain is not running'];

export function describeRefusals(host: () => ContractHost): void {
  describe('a lookup', () => {
    it('of no domain says by what it looked', async () => {
      const { connection } = host();
      const uuid = randomUUID();
      expect(await refusalOf(connection.lookupByName('no-such'))).toEqual([
        ...[42, 10],
        "Domain not found: no domain with matching name 'no-such'",
      ]);
      expect(await refusalOf(connection.lookupByUuid(uuid))).toEqual([
        ...[42, 10],
        `Domain not found: no domain with matching uuid '${uuid}'`,
      ]);
      expect(await refusalOf(connection.lookupById(2_000_000_000))).toEqual([
        ...[42, 10],
        'Domain not found: no domain with matching id 2000000000',
      ]);
      await expect(connection.lookupByName('no-such')).rejects.toSatisfy(isNoDomain);
    });
  });

  describe('a domain in the wrong state', () => {
    it('refuses what only a running one can do', async () => {
      const domain = await host().define();
      expect(await refusalOf(domain.destroy())).toEqual(notRunning(20));
      expect(await refusalOf(domain.suspend())).toEqual(notRunning(20));
      expect(await refusalOf(domain.resume())).toEqual(notRunning(20));
      expect(await refusalOf(domain.shutdown())).toEqual(notRunning(10));
      expect(await refusalOf(domain.reboot())).toEqual(notRunning(20));
      expect(await refusalOf(domain.reset())).toEqual(notRunning(20));
      expect(await refusalOf(domain.monitorCommand({ execute: 'query-status' }))).toEqual(notRunning(20));
      expect(await refusalOf(domain.openConsole())).toEqual(notRunning(20));
      expect(await refusalOf(domain.screenshot())).toEqual(notRunning(20));
      expect(await refusalOf(domain.memoryPeek(0, 16))).toEqual(notRunning(20));
      await expect(domain.destroy()).rejects.toSatisfy(isOperationInvalid);
    });

    it('refuses to start or resume twice', async () => {
      const domain = await host().define();
      await domain.start();
      const already = [55, 10, 'Requested operation is not valid: domain is already running'];
      expect(await refusalOf(domain.start())).toEqual(already);
      expect(await refusalOf(domain.resume())).toEqual(already);
      expect(await refusalOf(host().connection.createDomain(host().xml(domain.name, { uuid: domain.uuid })))).toEqual([
        ...[55, 20],
        `Requested operation is not valid: domain '${domain.name}' is already active`,
      ]);
    });

    it('refuses to be undefined when it never was defined', async () => {
      const domain = await host().connection.createDomain(host().xml(host().freshName()), { paused: true });
      host().removeAfterwards(domain);
      expect(await refusalOf(domain.undefine())).toEqual([
        ...[55, 10],
        'Requested operation is not valid: cannot undefine transient domain',
      ]);
    });

    it('that is gone is named with its uuid and name', async () => {
      const domain = await host().define();
      await domain.undefine();
      const gone = [42, 10, `Domain not found: no domain with matching uuid '${domain.uuid}' (${domain.name})`];
      const asked = [domain.undefine(), domain.start(), domain.xml(), domain.state(), domain.destroy()];
      for (const refusal of await Promise.all(asked.map(refusalOf))) expect(refusal).toEqual(gone);
    });

    it('refuses flags that its driver does not know', async () => {
      const domain = await host().define();
      const dom = { name: domain.name, uuid: domain.uuid, id: -1 };
      expect(await refusalOf(host().connection.call('domainCreateWithFlags', { dom, flags: 0x8000 }))).toEqual([
        ...[8, 10],
        'unsupported flags (0x8000) in function qemuDomainCreateWithFlags',
      ]);
    });
  });

  describe('a definition', () => {
    it('of a name that another uuid has is refused, and of a uuid that another name has', async () => {
      const { connection } = host();
      const domain = await host().define();
      expect(await refusalOf(connection.defineDomain(host().xml(domain.name)))).toEqual([
        ...[9, 20],
        `operation failed: domain '${domain.name}' already exists with uuid ${domain.uuid}`,
      ]);
      const renamed = host().xml(host().freshName(), { uuid: domain.uuid });
      expect(await refusalOf(connection.defineDomain(renamed))).toEqual([
        ...[9, 20],
        `operation failed: domain '${domain.name}' is already defined with uuid ${domain.uuid}`,
      ]);
    });

    it.each([
      ['nothing', '', 35, 20, '(domain_definition):1: Document is empty'],
      ['half a tag', '<domain', 35, 20, '(domain_definition):1: '],
      ['tags that do not match', '<domain><a></b></domain>', 35, 20, '(domain_definition):1: '],
      ['another root', '<network/>', 27, 5, "XML error: expecting root element of 'domain', not 'network'"],
      ['no type', '<domain><name>x</name></domain>', 1, 20, 'internal error: missing domain type attribute'],
      [
        'an unknown type',
        "<domain type='bogus'><name>x</name></domain>",
        ...([67, 20, 'unsupported configuration: invalid domain type bogus'] as const),
      ],
      ['no name', "<domain type='qemu'><memory>1</memory></domain>", 21, 20, 'missing name information'],
      [
        'no os type',
        "<domain type='qemu'><name>x</name><memory>1</memory></domain>",
        27,
        20,
        'XML error: an os <type> must be specified',
      ],
      [
        'no memory',
        "<domain type='qemu'><name>x</name><os><type arch='x86_64'>hvm</type></os></domain>",
        ...([27, 20, 'XML error: Memory size must be specified via <memory> or in the <numa> configuration'] as const),
      ],
    ])('of %s is refused as libvirt does', async (_, xml, code, domain, text) => {
      const [gotCode, gotDomain, gotText] = await refusalOf(host().connection.defineDomain(xml));
      // Parse errors go on with the parser's own words, which are libxml2's and not part of the contract.
      expect([gotCode, gotDomain, gotText?.slice(0, text.length)]).toEqual([code, domain, text]);
    });

    it('with an empty name, a slash in it, or a broken uuid is refused as libvirt does', async () => {
      const { connection } = host();
      expect(await refusalOf(connection.defineDomain(host().xml('')))).toEqual([21, 20, 'missing name information']);
      expect(await refusalOf(connection.defineDomain(host().xml('a/b')))).toEqual([
        ...[27, 20],
        "XML error: name a/b cannot contain '/'",
      ]);
      expect(await refusalOf(connection.defineDomain(host().xml('x', { uuid: 'zzz' })))).toEqual([
        ...[1, 20],
        'internal error: malformed uuid element',
      ]);
    });

    it('of launch security without a policy, or of a type that libvirt 9.0 does not know, is refused on any host', async () => {
      const { connection } = host();
      const define = (inside: string) => connection.defineDomain(host().xml(host().freshName(), { inside }));
      expect(await refusalOf(define("<launchSecurity type='sev'/>"))).toEqual([
        ...[27, 20],
        'XML error: failed to get launch security policy',
      ]);
      expect(
        await refusalOf(define("<launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity>")),
      ).toEqual([...[27, 5], "XML error: Invalid value for attribute 'type' in element 'launchSecurity': 'sev-snp'."]);
    });

    it('against libvirt’s schema is refused when it is to be validated', async () => {
      const xml = host().xml(host().freshName(), { inside: '<bogus/>' });
      const [code, domain, text] = await refusalOf(host().connection.defineDomain(xml, { validate: true }));
      expect([code, domain]).toEqual([92, 5]);
      expect(text).toMatch(
        /^XML document failed to validate against schema: Unable to validate doc against .*domain\.rng\n/,
      );
    });
  });
}
