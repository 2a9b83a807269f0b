import { describe, expect, test } from 'vitest';
import { type NonnullDomain, remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { guestXml, SEV_POLICY } from './test-guests.ts';
import { useLab } from './test-lab.ts';

// Every refusal below was recorded from libvirt 9.0.0 with QEMU 7.2.
const lab = useLab('naples-es');
const { defined, running, stateOf } = lab;

describe('calls in the wrong state are refused as libvirt 9.0 refuses them', () => {
  const notRunning = 'Requested operation is not valid: domain is not running';
  type Refused = readonly [
    name: string,
    call: (dom: NonnullDomain) => Promise<{ code: number; domain: number; message: string }>,
    expected: string,
  ];
  const inactive: Refused[] = [
    ['destroy', (dom) => lab.client.refusal(remote.domainDestroy, { dom }), `55/20 ${notRunning}`],
    ['suspend', (dom) => lab.client.refusal(remote.domainSuspend, { dom }), `55/20 ${notRunning}`],
    ['resume', (dom) => lab.client.refusal(remote.domainResume, { dom }), `55/20 ${notRunning}`],
    ['shutdown', (dom) => lab.client.refusal(remote.domainShutdown, { dom }), `55/10 ${notRunning}`],
    ['reboot', (dom) => lab.client.refusal(remote.domainReboot, { dom, flags: 0 }), `55/20 ${notRunning}`],
    ['reset', (dom) => lab.client.refusal(remote.domainReset, { dom, flags: 0 }), `55/20 ${notRunning}`],
    ['save', (dom) => lab.client.refusal(remote.domainSave, { dom, to: '/tmp/s' }), `55/20 ${notRunning}`],
    ['managed save', (dom) => lab.client.refusal(remote.domainManagedSave, { dom, flags: 0 }), `55/20 ${notRunning}`],
    [
      'memory statistics',
      (dom) => lab.client.refusal(remote.domainMemoryStats, { dom, maxStats: 9, flags: 0 }),
      `55/20 ${notRunning}`,
    ],
    [
      'console',
      (dom) => lab.client.refusal(remote.domainOpenConsole, { dom, devName: null, flags: 0 }),
      `55/20 ${notRunning}`,
    ],
    ['job', (dom) => lab.client.refusal(remote.domainGetJobInfo, { dom }), `55/20 ${notRunning}`],
    [
      'vcpus',
      (dom) => lab.client.refusal(remote.domainGetVcpus, { dom, maxinfo: 1, maplen: 1 }),
      '55/10 Requested operation is not valid: cannot retrieve vcpu information for inactive domain',
    ],
    [
      'unknown flags',
      (dom) => lab.client.refusal(remote.domainCreateWithFlags, { dom, flags: 1 << 20 }),
      '8/10 unsupported flags (0x100000) in function qemuDomainCreateWithFlags',
    ],
  ];
  test.each(inactive)('%s of a domain that is shut off', async (_, call, expected) => {
    const { code, domain, message } = await call(await defined());
    expect(`${code}/${domain} ${message}`).toBe(expected);
  });

  const active: Refused[] = [
    [
      'start',
      (dom) => lab.client.refusal(remote.domainCreate, { dom }),
      '55/10 Requested operation is not valid: domain is already running',
    ],
    [
      'resume',
      (dom) => lab.client.refusal(remote.domainResume, { dom }),
      '55/10 Requested operation is not valid: domain is already running',
    ],
    [
      'create',
      (dom) =>
        lab.client.refusal(remote.domainCreateXml, { xmlDesc: guestXml(dom.name, { uuid: dom.uuid }), flags: 0 }),
      "55/20 Requested operation is not valid: domain 'NAME' is already active",
    ],
    [
      'define under another uuid',
      (dom) => lab.client.refusal(remote.domainDefineXml, { xml: guestXml(dom.name) }),
      "9/20 operation failed: domain 'NAME' already exists with uuid UUID",
    ],
    [
      'define under another name',
      (dom) => lab.client.refusal(remote.domainDefineXml, { xml: guestXml('other', { uuid: dom.uuid }) }),
      "9/20 operation failed: domain 'NAME' is already defined with uuid UUID",
    ],
    [
      'abort job',
      (dom) => lab.client.refusal(remote.domainAbortJob, { dom }),
      '55/10 Requested operation is not valid: no job is active on the domain',
    ],
    [
      'guest time',
      (dom) => lab.client.refusal(remote.domainGetTime, { dom, flags: 0 }),
      '74/10 argument unsupported: QEMU guest agent is not configured',
    ],
    [
      'console of a guest without one',
      (dom) => lab.client.refusal(remote.domainOpenConsole, { dom, devName: null, flags: 0 }),
      '1/10 internal error: cannot find character device <null>',
    ],
    [
      'screenshot of a guest without a screen',
      (dom) => lab.client.refusal(remote.domainScreenshot, { dom, screen: 0, flags: 0 }),
      '55/10 Requested operation is not valid: no screens to take screenshot from',
    ],
  ];
  test.each(active)('%s of a domain that runs', async (_, call, expected) => {
    const dom = await running();
    const { code, domain, message } = await call(dom);
    expect(`${code}/${domain} ${message}`).toBe(expected.replace('NAME', dom.name).replace('UUID', dom.uuid));
  });

  const migration = '55/10 Requested operation is not valid: cannot migrate domain: SEV: Migration is not implemented';
  const encrypted: Refused[] = [
    ['save', (dom) => lab.client.refusal(remote.domainSave, { dom, to: '/tmp/s' }), migration],
    ['managed save', (dom) => lab.client.refusal(remote.domainManagedSave, { dom, flags: 0 }), migration],
    [
      'migrate',
      (dom) => lab.client.refusal(remote.domainMigrateBegin3Params, { dom, params: [], flags: 0 }),
      migration,
    ],
  ];
  test.each(encrypted)('%s of a SEV guest, which goes on running', async (_, call, expected) => {
    const dom = await running({ policy: SEV_POLICY });
    const { code, domain, message } = await call(dom);
    expect(`${code}/${domain} ${message}`).toBe(expected);
    expect(await stateOf(dom)).toBe('1/1');
    await lab.client.call(remote.domainDestroy, { dom });
  });
});
