import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LaunchMeasurement } from '../../../attestation/brands.ts';
import { parseTik } from '../../../attestation/measurement/measurement.ts';
import { openLaunchSecret } from '../../../attestation/secrets/packet.ts';
import { parseSecretTable } from '../../../attestation/secrets/table.ts';
import { parseTek } from '../../../attestation/session/transport-keys.ts';
import { fromBase64, toBase64 } from '../../../core/bytes.ts';
import { connect } from '../../libvirt/index.ts';
import { type ForgedCase, type ForgedLaunch, forgeCase } from './testing/forged-case.ts';
import { runAttest } from './testing/run-attest.ts';
import { listenAsHost, type ScriptedDomain } from './testing/scripted-host.ts';

let root: string;
let forged: ForgedCase;

beforeAll(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'sevh-attest-domain-'));
  forged = forgeCase(path.join(root, 'case'));
  for (const policy of ['1', '5']) {
    const words = [...chain(), '--pdh', forged.path('pdh.b64'), '--policy', policy, '--name', `p${policy}`];
    await runAttest(['session', ...words, '--out', forged.folder]);
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const chain = () => [
  ...['--chain', forged.path('chain.b64'), '--cek', forged.path('cek.cert')],
  ...['--ask-ark', forged.path('ask_ark.cert'), '--trusted-root', forged.path('root.cert')],
];
const text = (name: string) => readFileSync(forged.path(name), 'utf8');
const bytes = (base64: unknown) => fromBase64(String(base64)) ?? new Uint8Array();

interface Shape {
  readonly kernelHashes?: 'yes' | 'no';
  readonly os?: string;
  readonly security?: string;
}

function xml(policy: number, { kernelHashes, os = '', security }: Shape = {}): string {
  const hashes = kernelHashes === undefined ? '' : ` kernelHashes='${kernelHashes}'`;
  const inside =
    security ??
    `<dhCert>${text(`p${policy}_godh.b64`)}</dhCert><session>\n  ${text(`p${policy}_session.b64`)}\n</session>`;
  return `<domain type='kvm' id='7'><name>web</name><vcpu>2</vcpu>
    <os><type arch='x86_64'>hvm</type><loader type='rom' stateless='yes'>${forged.path('OVMF.fd')}</loader>${os}</os>
    <launchSecurity type='sev'${hashes}><cbitpos>51</cbitpos><policy>0x${policy}</policy>${inside}</launchSecurity>
  </domain>`;
}

interface MeasuredDomain extends ScriptedDomain {
  readonly security: Readonly<Record<string, string | number>>;
}

function domainOf(launch: ForgedLaunch, changes: Partial<MeasuredDomain> = {}): MeasuredDomain {
  const name = `p${launch.policy}`;
  const measurement = forged.launch({ godh: text(`${name}_godh.b64`), session: text(`${name}_session.b64`) }, launch);
  return {
    name: 'web',
    state: 3,
    xml: xml(launch.policy),
    vcpus: 2,
    security: {
      'sev-measurement': measurement,
      'sev-api-major': 1,
      'sev-api-minor': 55,
      'sev-build-id': 21,
      'sev-policy': launch.policy,
    },
    sevInfo: { pdh: text('pdh.b64'), 'cert-chain': text('chain.b64').trim() },
    hostname: 'lab7',
    capabilities:
      "<capabilities><host><cpu><signature family='25' model='1' stepping='1'/></cpu></host></capabilities>",
    ...changes,
  };
}

const SEV: ForgedLaunch = { policy: 1 };
const ES: ForgedLaunch = {
  policy: 5,
  vcpus: { kind: 'built', count: 2, cpuSignature: 0x00a0_0f11, form: 'legacy' },
};

/** Runs a verb against a host that serves this domain. */
async function against(domain: ScriptedDomain, words: readonly string[], hostname = 'owners-laptop') {
  await using host = await listenAsHost(domain);
  const policy = domain.security instanceof Error ? 1 : (domain.security['sev-policy'] ?? 1);
  const keys = ['--tik', forged.path(`p${policy}_tik.bin`)];
  const [verb = 'verify', ...rest] = words;
  const ran = await runAttest([verb, '--connect', host.uri, '--domain', 'web', ...keys, ...rest], {
    connect: (uri) => connect(uri),
    hostname: async () => hostname,
  });
  return { ...ran, changes: host.changes, injected: host.injected() };
}

const firmware = () => ['--firmware', forged.path('OVMF.fd')];

function redRows(out: string): string[] {
  const checks = JSON.parse(out).checks as { id: string; outcome: string }[];
  return checks
    .filter((check) => check.outcome === 'failed' || check.outcome === 'incomplete')
    .map((check) => check.id);
}

describe('a paused domain whose launch is as it should be', () => {
  it('verifies with what the host says and what the owner brings', async () => {
    const { code, out, err, changes } = await against(domainOf(SEV), ['verify', ...firmware(), '--policy', '1']);
    expect(code).toBe(0);
    expect(out).toContain('✓ domain');
    expect(err).not.toContain('this machine is the host itself');
    expect(changes).toEqual([]);
  });

  it('verifies with session files and the chain that the host states', async () => {
    const owned = ['--session', forged.path('p1_session.b64'), '--godh', forged.path('p1_godh.b64')];
    const roots = chain().slice(2);
    const { code, out } = await against(domainOf(SEV), ['verify', ...firmware(), ...owned, ...roots, '--json']);
    expect(code).toBe(0);
    const ids = (JSON.parse(out).checks as { id: string; outcome: string }[])
      .filter((check) => check.outcome === 'passed')
      .map((check) => check.id);
    expect(ids).toEqual(
      expect.arrayContaining(['chain.pdh-signed-by-pek', 'domain.session-is-yours', 'session.policy-bound']),
    );
  });

  it('verifies SEV-ES with the vCPUs that the owner states', async () => {
    const cpus = ['-n', '2', '--cpu-family', '25', '--cpu-model', '1', '--cpu-stepping', '1'];
    expect((await against(domainOf(ES), ['verify', ...firmware(), ...cpus])).code).toBe(0);
  });

  it('believes the host for the rest only with --insecure, and only files of its own machine', async () => {
    const local = domainOf(ES, { hostname: 'owners-laptop' });
    const { code, err } = await against(local, ['verify', '--insecure']);
    expect(code).toBe(0);
    expect(err).toContain('warning: this machine is the host itself');
    const far = await against(domainOf(ES), ['verify', '--insecure']);
    expect([far.code, far.error?.message]).toEqual([
      3,
      expect.stringMatching(/--firmware is required: .* another machine/),
    ]);
  });

  it.each<[string, ForgedLaunch, () => string[], RegExp]>([
    ['the firmware', SEV, () => [], /--firmware is required: the path in the domain XML comes from the host/],
    ['the number of vCPUs', ES, () => firmware(), /--num-cpus is required/],
    ['the CPU', ES, () => [...firmware(), '-n', '2'], /--cpu-family is required/],
  ])('does not take %s from the host without --insecure', async (_, launch, words, message) => {
    const { code, error } = await against(domainOf(launch, { hostname: 'owners-laptop' }), ['verify', ...words()]);
    expect([code, error?.message]).toEqual([3, expect.stringMatching(message)]);
  });
});

describe('a domain that cannot be verified securely is invalid, and says why', () => {
  it.each<[string, () => Partial<MeasuredDomain>, string[]]>([
    ['it runs', () => ({ state: 1 }), ['domain.is-paused']],
    ['it is shut off', () => ({ state: 5 }), ['domain.is-paused', 'domain.measurement-read']],
    ['it keeps NVRAM', () => ({ xml: xml(1, { os: '<nvram>/var/lib/x.fd</nvram>' }) }), ['domain.no-nvram']],
    ['it keeps NVRAM in an empty element', () => ({ xml: xml(1, { os: '<nvram/>' }) }), ['domain.no-nvram']],
    ['it has no session', () => ({ xml: xml(1, { security: '' }) }), ['domain.has-session']],
    [
      'it boots a kernel unmeasured',
      () => ({ xml: xml(1, { os: '<kernel>/k</kernel>' }) }),
      ['domain.kernel-measured'],
    ],
    ['it measures a kernel and has none', () => ({ xml: xml(1, { kernelHashes: 'yes' }) }), ['domain.kernel-measured']],
    [
      'it is no SEV guest',
      () => ({ xml: '<domain><os><loader>x</loader></os></domain>', security: {} }),
      ['domain.is-sev', 'domain.has-session', 'domain.measurement-read'],
    ],
    [
      'its XML is not XML',
      () => ({ xml: 'not <XML' }),
      ['domain.is-sev', 'domain.has-loader', 'domain.has-session', 'domain.measurement-read'],
    ],
  ])('%s', async (_, changes, rows) => {
    const { code, out } = await against(domainOf(SEV, changes()), ['verify', ...firmware(), '--json']);
    expect(code).toBe(1);
    expect(redRows(out)).toEqual(rows);
  });

  it('goes on with --insecure where that can be waived, and says what it passed over', async () => {
    const domain = domainOf(SEV, { state: 1, xml: xml(1, { os: '<nvram>x</nvram>' }) });
    const { code, out } = await against(domain, ['verify', ...firmware(), '--insecure']);
    expect(code).toBe(0);
    expect(out).toContain('skipped: the domain is paused');
    expect(out).toContain('(--insecure goes on all the same)');
  });

  it('is refused by libvirt, whose words are kept', async () => {
    const security = new Error("unable to execute QEMU command 'query-sev-launch-measure': SEV is not enabled");
    const { code, out } = await against({ ...domainOf(SEV), security }, ['verify', ...firmware()]);
    expect(code).toBe(1);
    expect(out).toContain(
      "libvirt says: unable to execute QEMU command 'query-sev-launch-measure': SEV is not enabled",
    );
  });

  it('states another policy than the owner', async () => {
    const { code, out } = await against(domainOf(SEV), ['verify', ...firmware(), '--policy', '3', '--json']);
    expect(code).toBe(1);
    expect(redRows(out)).toEqual(['domain.policy-as-stated', 'launch.measurement-matches']);
  });

  it('was started with another session', async () => {
    const owned = ['--session', forged.path('p5_session.b64')];
    const { code, out } = await against(domainOf(SEV), ['verify', ...firmware(), ...owned, '--json']);
    expect(code).toBe(1);
    expect(redRows(out)).toEqual(['domain.session-is-yours', 'session.policy-bound']);
  });

  it('gives a measurement that is no base64', async () => {
    const domain = domainOf(SEV);
    const spoilt = { ...domain, security: { ...domain.security, 'sev-measurement': 'a\u001b[2Jb' } };
    const { code, out } = await against(spoilt, ['verify', ...firmware()]);
    expect(code).toBe(1);
    expect(out).not.toContain('\u001b');
  });
});

it('says which domain it did not find, in one line', async () => {
  await using host = await listenAsHost(domainOf(SEV));
  const words = ['verify', '--connect', host.uri, '--domain', 'wbe', '--tik', forged.path('p1_tik.bin')];
  const { error } = await runAttest(words, { connect: (uri) => connect(uri) });
  expect(error?.message).toMatch(/look up domain 'wbe' failed: Domain not found/);
});

it('finds a domain by id and by uuid too', async () => {
  await using host = await listenAsHost(domainOf(SEV));
  for (const name of ['7', '6a2e0a3e-52a1-4b8e-9e3e-3f1c6d1e7a10']) {
    const words = [
      'verify',
      '--connect',
      host.uri,
      '--domain',
      name,
      '--tik',
      forged.path('p1_tik.bin'),
      ...firmware(),
    ];
    expect((await runAttest(words, { connect: (uri) => connect(uri) })).code).toBe(0);
  }
});

describe('a secret', () => {
  const secret = () => [
    ...['secret', ...firmware(), '--tek', forged.path('p1_tek.bin')],
    ...['--inject-secret', `luks-key:${forged.path('passphrase.txt')}`],
  ];

  it('is injected into a launch that verifies, which then runs', async () => {
    const domain = domainOf(SEV);
    const { code, out, changes, injected } = await against(domain, secret());
    expect(code).toBe(0);
    expect(changes).toEqual(['secret', 'resume']);
    expect(out).toContain("Injected into 'web'.");
    const packet = { header: bytes(injected?.['sev-secret-header']), payload: bytes(injected?.['sev-secret']) };
    const opened = openLaunchSecret(packet, {
      tik: parseTik(readFileSync(forged.path('p1_tik.bin'))),
      tek: parseTek(readFileSync(forged.path('p1_tek.bin'))),
      measurement: bytes(domain.security['sev-measurement']).slice(0, 32) as LaunchMeasurement,
    });
    const [entry] = parseSecretTable(opened);
    expect(Buffer.from(entry?.secret.reveal() ?? []).toString()).toBe('correct horse battery staple');
  });

  it('leaves the domain paused when told', async () => {
    expect((await against(domainOf(SEV), [...secret(), '--no-resume'])).changes).toEqual(['secret']);
  });

  it.each<[string, () => ScriptedDomain, string[]]>([
    ['a launch that does not match', () => domainOf({ policy: 1, guestFirmware: Buffer.from('evil') }), []],
    [
      'a launch that does not match, with --insecure',
      () => domainOf({ policy: 1, guestFirmware: Buffer.from('evil') }),
      ['--insecure'],
    ],
    ['a domain that runs', () => domainOf(SEV, { state: 1 }), []],
    ['a domain without a measurement', () => domainOf(SEV, { security: {} }), ['--insecure']],
  ])('is not given to %s', async (_, domain, more) => {
    const { code, changes, out } = await against(domain(), [...secret(), ...more]);
    expect(code).toBe(1);
    expect(changes).toEqual([]);
    expect(out).toContain('No secret was given out');
  });
});

it('puts the base64 of the host through the same checks as files', async () => {
  const domain = domainOf(SEV, { sevInfo: { pdh: toBase64(Buffer.alloc(2084)), 'cert-chain': 'A*' } });
  const { code, error } = await against(domain, ['verify', ...firmware(), ...chain().slice(2)]);
  expect(code).toBe(1);
  expect(error?.message).toMatch(/nodesevinfo cert-chain: cert-chain of the host is not strict base64/);
});
