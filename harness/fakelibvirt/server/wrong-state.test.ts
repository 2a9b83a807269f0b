import { describe, expect, test } from 'vitest';
import { type NonnullDomain, remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { guestXml, SEV_POLICY } from './test-guests.ts';
import { useLab } from './test-lab.ts';

// Every refusal below was recorded from libvirt 9.0.0 with QEMU 7.2.
const lab = useLab('naples-es');
const { defined, running, stateOf, refusalOf } = lab;

describe('calls in the wrong state are refused as libvirt 9.0 refuses them', () => {
  const notRunning = 'Requested operation is not valid: domain is not running';
  type Refused = readonly [name: string, call: (dom: NonnullDomain) => Promise<string>, expected: string];
  const inactive: Refused[] = [
    ['destroy', (dom) => refusalOf(remote.domainDestroy, { dom }), `55/20 ${notRunning}`],
    ['suspend', (dom) => refusalOf(remote.domainSuspend, { dom }), `55/20 ${notRunning}`],
    ['resume', (dom) => refusalOf(remote.domainResume, { dom }), `55/20 ${notRunning}`],
    ['shutdown', (dom) => refusalOf(remote.domainShutdown, { dom }), `55/10 ${notRunning}`],
    ['reboot', (dom) => refusalOf(remote.domainReboot, { dom, flags: 0 }), `55/20 ${notRunning}`],
    ['reset', (dom) => refusalOf(remote.domainReset, { dom, flags: 0 }), `55/20 ${notRunning}`],
    ['save', (dom) => refusalOf(remote.domainSave, { dom, to: '/tmp/s' }), `55/20 ${notRunning}`],
    ['managed save', (dom) => refusalOf(remote.domainManagedSave, { dom, flags: 0 }), `55/20 ${notRunning}`],
    [
      'memory statistics',
      (dom) => refusalOf(remote.domainMemoryStats, { dom, maxStats: 9, flags: 0 }),
      `55/20 ${notRunning}`,
    ],
    ['console', (dom) => refusalOf(remote.domainOpenConsole, { dom, devName: null, flags: 0 }), `55/20 ${notRunning}`],
    ['job', (dom) => refusalOf(remote.domainGetJobInfo, { dom }), `55/20 ${notRunning}`],
    [
      'vcpus',
      (dom) => refusalOf(remote.domainGetVcpus, { dom, maxinfo: 1, maplen: 1 }),
      '55/10 Requested operation is not valid: cannot retrieve vcpu information for inactive domain',
    ],
    [
      'unknown flags',
      (dom) => refusalOf(remote.domainCreateWithFlags, { dom, flags: 1 << 20 }),
      '8/10 unsupported flags (0x100000) in function qemuDomainCreateWithFlags',
    ],
  ];
  test.each([
    [0, 1, '8/20 info in virDomainGetVcpus must not be NULL'],
    [-1, 1, '1/7 internal error: maxinfo must be non-negative'],
    [1, -1, '1/7 internal error: maxinfo must be non-negative'],
    [16_385, 1, '1/7 internal error: maxinfo > REMOTE_VCPUINFO_MAX'],
    [16_384, 513, '1/7 internal error: maxinfo * maplen > REMOTE_CPUMAPS_MAX'],
  ])('vcpus with room for %d of them and %d bytes of map each', async (maxinfo, maplen, expected) => {
    const dom = await running();
    expect(await refusalOf(remote.domainGetVcpus, { dom, maxinfo, maplen })).toBe(expected);
    const { info, cpumaps } = await lab.client.call(remote.domainGetVcpus, { dom, maxinfo: 3, maplen: 2 });
    expect([info.length, cpumaps.length]).toEqual([1, 6]);
  });

  test.each(inactive)('%s of a domain that is shut off', async (_, call, expected) => {
    expect(await call(await defined())).toBe(expected);
  });

  const active: Refused[] = [
    [
      'start',
      (dom) => refusalOf(remote.domainCreate, { dom }),
      '55/10 Requested operation is not valid: domain is already running',
    ],
    [
      'resume',
      (dom) => refusalOf(remote.domainResume, { dom }),
      '55/10 Requested operation is not valid: domain is already running',
    ],
    [
      'create',
      (dom) => refusalOf(remote.domainCreateXml, { xmlDesc: guestXml(dom.name, { uuid: dom.uuid }), flags: 0 }),
      "55/20 Requested operation is not valid: domain 'NAME' is already active",
    ],
    [
      'define under another uuid',
      (dom) => refusalOf(remote.domainDefineXml, { xml: guestXml(dom.name) }),
      "9/20 operation failed: domain 'NAME' already exists with uuid UUID",
    ],
    [
      'define under another name',
      (dom) => refusalOf(remote.domainDefineXml, { xml: guestXml('other', { uuid: dom.uuid }) }),
      "9/20 operation failed: domain 'NAME' is already defined with uuid UUID",
    ],
    [
      'abort job',
      (dom) => refusalOf(remote.domainAbortJob, { dom }),
      '55/10 Requested operation is not valid: no job is active on the domain',
    ],
    [
      'guest time',
      (dom) => refusalOf(remote.domainGetTime, { dom, flags: 0 }),
      '74/10 argument unsupported: QEMU guest agent is not configured',
    ],
    [
      'console of a guest without one',
      (dom) => refusalOf(remote.domainOpenConsole, { dom, devName: null, flags: 0 }),
      '1/10 internal error: cannot find character device <null>',
    ],
    [
      'screenshot of a guest without a screen',
      (dom) => refusalOf(remote.domainScreenshot, { dom, screen: 0, flags: 0 }),
      '55/10 Requested operation is not valid: no screens to take screenshot from',
    ],
  ];
  test.each(active)('%s of a domain that runs', async (_, call, expected) => {
    const dom = await running();
    expect(await call(dom)).toBe(expected.replace('NAME', dom.name).replace('UUID', dom.uuid));
  });

  const migration = '55/10 Requested operation is not valid: cannot migrate domain: SEV: Migration is not implemented';
  const encrypted: Refused[] = [
    ['save', (dom) => refusalOf(remote.domainSave, { dom, to: '/tmp/s' }), migration],
    ['managed save', (dom) => refusalOf(remote.domainManagedSave, { dom, flags: 0 }), migration],
    ['migrate', (dom) => refusalOf(remote.domainMigrateBegin3Params, { dom, params: [], flags: 0 }), migration],
  ];
  test.each(encrypted)('%s of a SEV guest, which goes on running', async (_, call, expected) => {
    const dom = await running({ policy: SEV_POLICY });
    expect(await call(dom)).toBe(expected);
    expect(await stateOf(dom)).toBe('1/1');
    await lab.client.call(remote.domainDestroy, { dom });
  });
});
