import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LibvirtConnection } from '../../libvirt/index.ts';
import type { Host } from '../host.ts';
import { shellOf } from '../shell.ts';
import { evaluatePreflight } from './evaluate.ts';
import { readPreflight } from './read.ts';

/** This machine as a host whose libvirt daemon cannot be asked: every call on a connection without a wire rejects. */
function thisMachine(): Host {
  const uri = 'qemu:///system';
  const connection: LibvirtConnection = Object.create(LibvirtConnection.prototype, { uri: { value: uri } });
  const close = async () => {};
  return {
    name: uri,
    kind: 'real',
    profile: undefined,
    connection,
    shell: shellOf(uri),
    reconnect: async () => connection,
    close,
    [Symbol.asyncDispose]: close,
  };
}

describe('the machine that runs this test', () => {
  it('is judged by its own files, whatever machine it is', async () => {
    const cpuinfo = readFileSync('/proc/cpuinfo', 'utf8');
    const isGuest = /^flags.*\bhypervisor\b/m.test(cpuinfo);
    const isAmd = /^vendor_id\s*: AuthenticAMD$/m.test(cpuinfo);
    const readings = await readPreflight(thisMachine());
    const report = evaluatePreflight(readings);
    const outcome = (id: string) => report.rows.find((row) => row.id === id)?.outcome;
    expect(outcome('machine.bare-metal')).toBe(isGuest ? 'fail' : 'pass');
    expect(outcome('cpu.vendor')).toBe(isAmd ? 'pass' : /HygonGenuine/.test(cpuinfo) ? 'warn' : 'fail');
    if (isGuest) expect(report.diagnoses[0]?.way).toBe('virtual-machine');
    else if (!isAmd) expect(report.diagnoses[0]?.way).toBe('not-amd');
    expect(outcome('kernel.version')).toBe('pass');
    expect(outcome('libvirt.version')).toBe('unknown');
    expect(report.conditions.domainCapabilities).toBe('unknown');
    expect(report.verdict).not.toBe('usable');
  });
});
