import { posix } from 'node:path';
import { errorText } from '../../../core/errors.ts';
import { readEncryptionLeaf } from '../cpuid.ts';
import { readSevFacts } from '../facts.ts';
import type { Host } from '../host.ts';
import { readPlatformStatus } from '../secure-processor/device.ts';
import { sessionFolders } from '../session-folders.ts';
import { readConfiguration, readFolders } from './configuration.ts';
import { readMiscCgroup } from './misc-cgroup.ts';
import * as parse from './parse.ts';
import type { MemoryLockLimit, PreflightReadings, Reading } from './readings.ts';
import { firstThere, known, read, textOf } from './readings.ts';

const KVM_AMD = '/sys/module/kvm_amd/parameters';
const DEV_SEV = '/dev/sev';
/** OVMF as Debian, Fedora and SUSE name it, and the SELinux policy that must let QEMU at /dev/sev. */
const PACKAGES = ['ovmf', 'edk2-ovmf', 'qemu-ovmf-x86_64', 'selinux-policy'];

const TEXT_FILES = {
  cpuInfo: '/proc/cpuinfo',
  kernelVersion: '/proc/version',
  commandLine: '/proc/cmdline',
  sev: `${KVM_AMD}/sev`,
  sevEs: `${KVM_AMD}/sev_es`,
  sevSnp: `${KVM_AMD}/sev_snp`,
  npt: `${KVM_AMD}/npt`,
  nrips: `${KVM_AMD}/nrips`,
  nested: `${KVM_AMD}/nested`,
  selinux: '/sys/fs/selinux/enforce',
  sliceHigh: '/sys/fs/cgroup/machine.slice/memory.high',
  sliceMax: '/sys/fs/cgroup/machine.slice/memory.max',
  sliceMaxV1: '/sys/fs/cgroup/memory/machine.slice/memory.limit_in_bytes',
  ksm: '/sys/kernel/mm/ksm/run',
  appArmorQemu: '/etc/apparmor.d/abstractions/libvirt-qemu',
  appArmorLocal: '/etc/apparmor.d/local/abstractions/libvirt-qemu',
} as const;

const APPARMOR_FOLDER = '/etc/apparmor.d/abstractions/libvirt-qemu.d';

type TextFile = keyof typeof TEXT_FILES;

/** Reads the host once, all of it; changes nothing on it. What cannot be read says why. */
export async function readPreflight(host: Host): Promise<PreflightReadings> {
  const names = Object.keys(TEXT_FILES) as TextFile[];
  const [
    readings,
    encryptionLeaf,
    configuration,
    misc,
    kernelLog,
    packages,
    devSev,
    tsme,
    groups,
    libvirt,
    models,
    appArmor,
  ] = await Promise.all([
    host.shell.readFiles(names.map((name) => TEXT_FILES[name])),
    readEncryptionLeaf(host.shell),
    readConfiguration(host),
    readMiscCgroup(host),
    readKernelLog(host),
    readPackages(host),
    readDevSev(host),
    readTsme(host),
    host.shell.listFolder('/sys/kernel/iommu_groups'),
    attempt(() => readSevFacts(host)),
    attempt(async () => parse.parseSecurityModels(await host.connection.capabilitiesXml())),
    readAppArmorFolder(host),
  ]);
  const texts = new Map(names.map((name, index) => [name, textOf(readings[index], TEXT_FILES[name])]));
  const text = (name: TextFile): Reading<string> => texts.get(name) ?? { outcome: 'unknown', because: 'not asked for' };
  return {
    where: host.shell.where,
    isSession: /\/session(\?|$)/.test(host.connection.uri),
    cpu: parsed(text('cpuInfo'), parse.parseCpuInfo, '/proc/cpuinfo names no vendor: not an x86 processor'),
    encryptionLeaf,
    kernelVersion: parsed(
      text('kernelVersion'),
      (words) => /^Linux version (\S+)/.exec(words)?.[1],
      '/proc/version is not of Linux',
    ),
    commandLine: text('commandLine'),
    modprobe: configuration.modprobe,
    descriptors: configuration.descriptors,
    unreadFiles: configuration.unreadFiles,
    kvmAmdLoaded: moduleLoaded([text('sev'), text('npt'), text('nested')]),
    kvmAmd: {
      sev: text('sev'),
      sevEs: text('sevEs'),
      sevSnp: text('sevSnp'),
      npt: text('npt'),
      nrips: text('nrips'),
    },
    ...devSev,
    selinuxEnforcing: parsed(text('selinux'), (word) => word === '1', ''),
    securityModels: models,
    appArmorQemu: [text('appArmorLocal'), appArmor].reduce(withAddition, text('appArmorQemu')),
    kernelLog,
    tsme,
    iommuGroups: countOf(groups, '/sys/kernel/iommu_groups'),
    ...misc,
    machineSlice: { high: text('sliceHigh'), max: firstThere([text('sliceMax'), text('sliceMaxV1')]) },
    memoryLock: await readMemoryLock(host),
    ksm: text('ksm'),
    packages,
    libvirt,
  };
}

/** A text with what the host may add to it; an addition that cannot be read could say anything. */
function withAddition(text: Reading<string>, addition: Reading<string>): Reading<string> {
  if (text.outcome !== 'read' || addition.outcome === 'absent') return text;
  return addition.outcome === 'read' ? read(`${text.value}\n${addition.value}`) : addition;
}

/** What the abstraction includes of its own folder. */
async function readAppArmorFolder(host: Host): Promise<Reading<string>> {
  const { texts, unread } = await readFolders(host, [APPARMOR_FOLDER], '');
  if (texts.outcome !== 'read') return texts;
  if (unread.length > 0) return { outcome: 'unknown', because: unread.join('; ') };
  if (texts.value.length === 0) return { outcome: 'absent', because: `nothing in ${APPARMOR_FOLDER}` };
  return read(texts.value.map(([, text]) => text).join('\n'));
}

function parsed<T>(text: Reading<string>, parser: (text: string) => T | undefined, because: string): Reading<T> {
  if (text.outcome !== 'read') return text;
  const value = parser(text.value);
  return value === undefined ? { outcome: 'unknown', because } : read(value);
}

async function attempt<T>(action: () => Promise<T>): Promise<Reading<T>> {
  try {
    return read(await action());
  } catch (error) {
    return { outcome: 'unknown', because: errorText(error) };
  }
}

function countOf(
  folder: { outcome: string; names?: readonly string[]; because?: string },
  path: string,
): Reading<number> {
  if (folder.outcome === 'absent') return { outcome: 'absent', because: `${path} does not exist` };
  if (folder.names === undefined) return { outcome: 'unknown', because: `${path}: ${folder.because ?? 'not read'}` };
  return read(folder.names.length);
}

/** A module without a single readable parameter is not loaded only when every one of them is absent. */
function moduleLoaded(parameters: readonly Reading<string>[]): Reading<boolean> {
  if (parameters.some((parameter) => parameter.outcome === 'read')) return read(true);
  const unknown = parameters.find((parameter) => parameter.outcome === 'unknown');
  return unknown === undefined || unknown.outcome !== 'unknown' ? read(false) : unknown;
}

/** `dmesg`, else the file in which some systems keep the log of the boot. */
export async function readKernelLog(host: Host): Promise<Reading<readonly string[]>> {
  const live = await host.shell.run(['dmesg']);
  if (live.outcome === 'read') return read(parse.parseKernelLog(Buffer.from(live.bytes).toString()));
  const kept = await host.shell.readFile('/var/log/dmesg');
  if (kept.outcome === 'read') return read(parse.parseKernelLog(Buffer.from(kept.bytes).toString()));
  return { outcome: 'unknown', because: live.outcome === 'unreadable' ? `dmesg: ${live.because}` : 'no dmesg command' };
}

/** Versions by rpm or dpkg, whichever the host has; a package that is not installed is missing from the record. */
async function readPackages(host: Host): Promise<Reading<Readonly<Record<string, string>>>> {
  const names = PACKAGES.join(' ');
  const commands = [
    `dpkg-query -W -f '\${Package} \${Version}\\n' ${names} 2>/dev/null; exit 0`,
    `rpm -q --qf '%{NAME} %{VERSION}-%{RELEASE}\\n' ${names} 2>/dev/null; exit 0`,
  ];
  for (const command of commands) {
    const answer = await host.shell.run(['sh', '-c', command]);
    const found = answer.outcome === 'read' ? parse.parsePackageLines(Buffer.from(answer.bytes).toString()) : {};
    if (Object.keys(found).length > 0) return read(found);
  }
  const status = await host.shell.readFile('/var/lib/dpkg/status');
  if (status.outcome === 'read') return read(parse.parseDpkgStatus(Buffer.from(status.bytes).toString(), PACKAGES));
  return { outcome: 'unknown', because: 'neither dpkg nor rpm could be asked for versions' };
}

async function readDevSev(host: Host): Promise<Pick<PreflightReadings, 'devSev' | 'devSevStat' | 'platformStatus'>> {
  const stat = await host.shell.stat(DEV_SEV);
  if (stat.outcome === 'read') {
    const status = await readPlatformStatus(host);
    const platformStatus: PreflightReadings['platformStatus'] =
      'because' in status ? { outcome: 'unknown', because: status.because } : read(status);
    return { devSev: read(true), devSevStat: read(stat.stat), platformStatus };
  }
  const missing: Reading<never> =
    stat.outcome === 'absent'
      ? { outcome: 'absent', because: `${DEV_SEV} does not exist` }
      : { outcome: 'unknown', because: `${DEV_SEV}: ${stat.because}` };
  return { devSev: missing, devSevStat: missing, platformStatus: missing };
}

/** The ccp driver's own word, of the one PSP that has the file (drivers/crypto/ccp/sp-pci.c). */
async function readTsme(host: Host): Promise<Reading<string>> {
  const folder = '/sys/bus/pci/drivers/ccp';
  const list = await host.shell.listFolder(folder);
  if (list.outcome === 'unreadable') return { outcome: 'unknown', because: `${folder}: ${list.because}` };
  const names = list.outcome === 'read' ? list.names.filter((name) => /^[0-9a-f]{4}:/.test(name)) : [];
  const files = await host.shell.readFiles(names.map((name) => `${folder}/${name}/tsme_status`));
  const found = files.find((file) => file.outcome === 'read');
  if (found?.outcome === 'read') return read(Buffer.from(found.bytes).toString().trim());
  return {
    outcome: 'unknown',
    because: `no tsme_status below ${folder}: kernels before 6.0 and some boards do not say`,
  };
}

/** A daemon of one user writes its pid beside its socket; the limit of the system's daemon would not be its own. */
async function pidFiles(host: Host): Promise<string[]> {
  const folders = (await sessionFolders(host)) ?? ['/run'];
  return folders.flatMap((folder) => [`${folder}/libvirtd.pid`, `${folder}/virtqemud.pid`]);
}

async function readMemoryLock(host: Host): Promise<Reading<MemoryLockLimit>> {
  const files = await pidFiles(host);
  const pids = await host.shell.readFiles(files);
  for (const [index, file] of files.entries()) {
    const pid = textOf(pids[index], file);
    if (pid.outcome !== 'read' || !/^\d+$/.test(pid.value)) continue;
    const limits = `/proc/${pid.value}/limits`;
    const [limitsFile, statusFile] = await host.shell.readFiles([limits, `/proc/${pid.value}/status`]);
    const text = textOf(limitsFile, limits);
    if (text.outcome !== 'read') return { outcome: 'unknown', because: text.because };
    const soft = parse.parseMemoryLockLimit(text.value);
    if (soft === undefined) return { outcome: 'unknown', because: `${limits} names no such limit` };
    const mayRaise = parse.parseMayRaiseLimits(known(textOf(statusFile, 'status')) ?? '');
    return read({ daemon: posix.basename(file, '.pid'), soft, ...(mayRaise === undefined ? {} : { mayRaise }) });
  }
  return { outcome: 'unknown', because: `no pid of the libvirt daemon in ${files.join(', ')}` };
}
