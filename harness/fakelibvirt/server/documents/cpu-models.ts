/** CPU models of QEMU 7.2 for x86, with the vendor that libvirt's CPU map gives them. */
export const CPU_MODELS: readonly (readonly [vendor: string, names: readonly string[]])[] = [
  ['unknown', ['qemu64', 'qemu32', 'pentium3', 'pentium2', 'pentium', 'kvm64', 'kvm32', '486']],
  ['AMD', ['phenom', 'athlon', 'Opteron_G5', 'Opteron_G4', 'Opteron_G3', 'Opteron_G2', 'Opteron_G1']],
  ['AMD', ['EPYC', 'EPYC-IBPB', 'EPYC-Rome', 'EPYC-Milan', 'EPYC-Genoa', 'EPYC-Turin']],
  ['Hygon', ['Dhyana']],
  ['Intel', ['n270', 'core2duo', 'Conroe', 'Penryn', 'Nehalem', 'Nehalem-IBRS', 'Westmere', 'Westmere-IBRS']],
  ['Intel', ['SandyBridge', 'SandyBridge-IBRS', 'IvyBridge', 'IvyBridge-IBRS', 'Haswell-noTSX', 'Haswell']],
  [
    'Intel',
    ['Broadwell-noTSX', 'Broadwell', 'Skylake-Client', 'Skylake-Server', 'Cascadelake-Server', 'Icelake-Server'],
  ],
];

/** AMD generations in order: a host can run its own and all before it. */
const AMD_ORDER = ['EPYC', 'EPYC-IBPB', 'EPYC-Rome', 'EPYC-Milan', 'EPYC-Genoa', 'EPYC-Turin'];
const ALWAYS_USABLE = ['qemu64', 'qemu32', 'pentium3', 'pentium2', 'pentium', 'kvm64', 'kvm32', '486'];

export function isUsableModel(name: string, hostModel: string): boolean {
  if (ALWAYS_USABLE.includes(name) || /^Opteron_G[1-3]$/.test(name)) return true;
  const rank = AMD_ORDER.indexOf(name);
  return rank >= 0 && rank <= AMD_ORDER.indexOf(hostModel);
}

/** Models that only newer QEMUs have. */
export function isKnownModel(name: string, qemuMajor: number): boolean {
  if (name === 'EPYC-Genoa') return qemuMajor >= 8;
  return name !== 'EPYC-Turin' || qemuMajor >= 10;
}
