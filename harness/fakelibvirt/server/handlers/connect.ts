import { misreportCapabilities } from '../../faults/misread.ts';
import { versionNumber } from '../../profiles/profile.ts';
import { refusal, systemRefusal, unsupportedFlags } from '../../refusal.ts';
import { canonicalMachine, EMULATOR, isSupportedMachine, maxCpus } from '../../state/domain-xml/machines.ts';
import { libvirtOffersSev } from '../../state/domain-xml/validate.ts';
import { chipIdBase64, sevInfo } from '../../state/sev-info.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import { formatCapabilities } from '../documents/capabilities.ts';
import { formatDomainCapabilities } from '../documents/domain-capabilities.ts';

const AUTH_NONE = 0;
const OPEN_READ_ONLY = 1;

/** VIR_DRV_FEATURE_* that libvirtd 9.0 with the QEMU driver answers with 1, as recorded. */
const SUPPORTED_FEATURES = new Set([3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const FEATURE_PROGRAM_KEEPALIVE = 10;

export const connectHandlers: RemoteHandlers = {
  authList: () => ({ types: [AUTH_NONE] }),
  authPolkit: () => {
    throw refusal('RPC', 'RPC', 'authentication failed: client tried unsupported PolicyKit init request');
  },
  connectSupportsFeature: ({ feature }, { connection }) => {
    if (feature === FEATURE_PROGRAM_KEEPALIVE) connection.keepalive.start();
    return { supported: SUPPORTED_FEATURES.has(feature) ? 1 : 0 };
  },
  connectOpen: ({ name, flags }, { connection }) => {
    if (connection.uri !== undefined) {
      // libvirtd's error path closes what was open.
      connection.uri = undefined;
      throw refusal('INTERNAL_ERROR', 'RPC', 'connection already open');
    }
    connection.uri = checkedUri(name ?? 'qemu:///system');
    connection.isReadOnly = (flags & OPEN_READ_ONLY) !== 0;
    return {};
  },
  connectClose: (_, { connection }) => {
    connection.closeAfterReply();
    return {};
  },
  connectRegisterCloseCallback: () => ({}),
  connectUnregisterCloseCallback: () => ({}),
  connectGetType: () => ({ type: 'QEMU' }),
  connectGetVersion: (_, { machine }) => ({ hvVer: versionNumber(machine.profile.qemu) }),
  connectGetLibVersion: (_, { machine }) => ({ libVer: versionNumber(machine.profile.libvirt) }),
  connectGetHostname: (_, { machine }) => ({ hostname: `emulated-${machine.profile.name}` }),
  connectGetUri: (_, { connection }) => ({ uri: connection.uri ?? 'qemu:///system' }),
  connectGetCapabilities: (_, { machine }) => ({ capabilities: formatCapabilities(machine.profile, machine.hostUuid) }),
  connectGetSysinfo: () => {
    throw refusal('CONFIG_UNSUPPORTED', 'QEMU', 'Host SMBIOS information is not available');
  },
  connectGetDomainCapabilities: ({ emulatorbin, arch, machine: wanted, virttype, flags }, { machine }) => {
    if (flags !== 0) throw unsupportedFlags(flags, 'qemuConnectGetDomainCapabilities');
    const { qemu } = machine.profile;
    const virtType = checkedVirtType(virttype ?? 'kvm');
    if (arch !== null && !['x86_64', 'i686'].includes(arch)) throw unknownArchitecture(arch);
    const emulator = emulatorbin ?? (arch === 'i686' ? '/usr/bin/qemu-system-i386' : EMULATOR);
    if (!emulator.startsWith('/usr/')) throw systemRefusal(2, 'QEMU', `Cannot check QEMU binary ${emulator}`);
    const machineType = canonicalMachine(wanted ?? undefined, qemu);
    if (!isSupportedMachine(machineType, qemu)) {
      throw refusal('INVALID_ARG', 'QEMU', `the machine '${wanted}' is not supported by emulator '${emulator}'`);
    }
    const capabilities = formatDomainCapabilities(machine.profile, {
      emulator,
      virtType,
      architecture: arch ?? 'x86_64',
      machine: machineType,
      maxVcpus: maxCpus(machineType, qemu),
      advertisedError: machine.has('advertised-limit-wrong') ? 1 : 0,
      cpu0Id: () => chipIdBase64(machine),
    });
    return { capabilities: misreportCapabilities(machine, capabilities) };
  },
  connectIsSecure: () => ({ secure: 1 }),
  connectGetMaxVcpus: () => ({ maxVcpus: 16 }),
  nodeGetSevInfo: ({ flags }, { machine }) => {
    // Bits of VIR_TYPED_PARAM_STRING_OKAY come from clients that can read strings, which is all of them.
    if ((flags & ~4) !== 0) throw unsupportedFlags(flags, 'qemuNodeGetSEVInfo');
    if (!libvirtOffersSev(machine.profile)) {
      throw refusal('OPERATION_UNSUPPORTED', 'QEMU', 'QEMU does not support SEV guest');
    }
    const params = sevInfo(machine);
    return { params, nparams: params.length };
  },
};

function checkedUri(name: string): string {
  const match = /^qemu:\/\/(\/[^?#]*)/.exec(name);
  if (!match) throw refusal('NO_CONNECT', 'NONE', name);
  if (match[1] === '/system' || match[1] === '/session') return name;
  throw refusal('INTERNAL_ERROR', 'QEMU', `unexpected QEMU URI path '${match[1]}', try qemu:///system`);
}

const VIRT_TYPES = ['kvm', 'qemu'];

function checkedVirtType(virtType: string): string {
  if (VIRT_TYPES.includes(virtType)) return virtType;
  if (!['xen', 'lxc', 'test', 'vbox', 'hvf'].includes(virtType)) {
    throw refusal('INVALID_ARG', 'QEMU', `unknown virttype: ${virtType}`);
  }
  throw refusal('INVALID_ARG', 'QEMU', `the accel 'tcg' is not supported by '${EMULATOR}' on this host`);
}

function unknownArchitecture(arch: string) {
  if (!['aarch64', 'armv7l', 'ppc64le', 'riscv64', 's390x'].includes(arch)) {
    return refusal('INVALID_ARG', 'QEMU', `unknown architecture: ${arch}`);
  }
  return refusal('CONFIG_UNSUPPORTED', 'QEMU', `unable to find any emulator to serve '${arch}' architecture`);
}
