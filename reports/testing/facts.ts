import type { HostFacts, ReportedError, RunHeader, ScenarioHeader } from '../model/run.ts';

export const naples: HostFacts = {
  name: 'fake:naples',
  uri: 'qemu+unix:///system?socket=/tmp/sevh-k3f9/libvirt-sock',
  kind: 'emulated',
  hostname: 'naples-01',
  profile: 'naples',
  generation: 'EPYC 7001 (Naples)',
  versions: { libvirt: '9.0.0', qemu: '7.2.0', kernel: '6.1.0', sevFirmware: '0.17 build 48' },
  capabilities: ['sev'],
  facts: {
    'sev slots': 'domcapabilities 15, CPUID 15',
    'C-bit': '47, 5 physical address bits fewer (domcapabilities)',
  },
  notVerified: [
    'The host is emulated: this run says nothing about any processor, firmware, kernel, QEMU or libvirt.',
    'Guests of the emulated host execute no code, and their memory is not encrypted.',
  ],
};

export const genoa: HostFacts = {
  name: 'qemu+ssh://lab7/system',
  uri: 'qemu+ssh://lab7/system',
  kind: 'real',
  hostname: 'lab7',
  generation: 'EPYC 9004 (Genoa)',
  versions: { libvirt: '9.0.0', qemu: '8.2.2', kernel: '6.8.0', sevFirmware: '1.55 build 21' },
  capabilities: ['sev', 'sev-es', 'sev-snp'],
  facts: { 'sev slots': 'domcapabilities 1006, CPUID 1006' },
  notVerified: ['Memory of the guests was not read, so encryption itself was not looked at.'],
};

export const header: RunHeader = {
  runId: '20261123t0130-a1b2c3',
  startedAt: '2026-11-23T01:30:40.000Z',
  command: ['sev-harness', 'scenario', 'slot-limit'],
  harnessVersion: '0.1.0',
  nodeVersion: '20.20.2',
  platform: 'linux 6.1.0-28-amd64 x64',
  host: 'fake:naples',
  faults: [],
  required: [],
};

export const NOVA = 'nova specification "libvirt driver launching AMD SEV-encrypted instances"';
export const REFUSED =
  "internal error: qemu unexpectedly closed the monitor: qemu-system-x86_64: sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''\nqemu-system-x86_64: failed to initialize kvm: Operation not permitted";

export const slotLimit: ScenarioHeader = {
  id: 'slot-limit',
  title: 'The host runs exactly as many SEV guests as it promises, says why it refuses the next, and takes slots back',
  source: [`${NOVA}: "on EPYC machines the maximum number of SEV guests supported is expected to be 15"`],
  needs: ['sev'],
  maturity: 'stable',
  file: 'scenarios/slot-limit.scenario.ts',
};

export const slotChurn: ScenarioHeader = {
  ...slotLimit,
  id: 'slot-churn',
  title: 'Slots come back however often guests come and go: more launches than there are keys, and none is lost',
  source: ['SEV API specification, section 6.22 DF_FLUSH'],
  file: 'scenarios/slot-churn.scenario.ts',
};

export const slotEsSplit: ScenarioHeader = {
  ...slotLimit,
  id: 'slot-es-split',
  title: 'SEV and SEV-ES guests draw from ranges of their own',
  needs: ['sev', 'sev-es'],
  file: 'scenarios/slot-es-split.scenario.ts',
};

export const promiseBroken: ReportedError = {
  kind: 'product',
  code: 'SCENARIO_PROMISE_BROKEN',
  message: '2 of 6 promises broken: stop-frees-one-slot, nothing-lost',
  details: {},
};
