import {
  emulatorProgram,
  type MessageHeader,
  qemuProgram,
  remoteProcedures,
  remoteProgram,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { refusal } from '../refusal.ts';

/** VIR_DRV_FEATURE_PROGRAM_KEEPALIVE: the one feature that a client asks for before it opens. */
const FEATURE_PROGRAM_KEEPALIVE = 10;

const { authList, authSaslInit, authPolkit, connectOpen, connectClose, connectSupportsFeature } = remoteProcedures;
const BEFORE_OPEN = new Set([authList, authSaslInit, authPolkit, connectOpen, connectClose].map((one) => one.number));

export function mayCallBeforeOpen({ prog, proc }: MessageHeader, payload: Uint8Array): boolean {
  if (prog === emulatorProgram.id) return true;
  if (prog !== remoteProgram.id) return false;
  if (proc !== connectSupportsFeature.number) return BEFORE_OPEN.has(proc);
  return payload.length >= 4 && payload[3] === FEATURE_PROGRAM_KEEPALIVE;
}

const WRITING = [
  'domainDefineXml',
  'domainDefineXmlFlags',
  'domainCreateXml',
  'domainCreate',
  'domainCreateWithFlags',
  'domainDestroy',
  'domainDestroyFlags',
  'domainUndefine',
  'domainUndefineFlags',
  'domainResume',
  'domainSuspend',
  'domainShutdown',
  'domainShutdownFlags',
  'domainReboot',
  'domainReset',
  'domainMemoryPeek',
  'domainBlockPeek',
  'domainCoreDump',
  'domainCoreDumpWithFormat',
  'domainSave',
  'domainRestore',
  'domainManagedSave',
  'domainManagedSaveRemove',
  'domainAbortJob',
  'domainScreenshot',
  'domainOpenConsole',
  'domainAttachDevice',
  'domainAttachDeviceFlags',
  'domainDetachDevice',
  'domainDetachDeviceFlags',
  'domainSnapshotCreateXml',
  'domainSnapshotDelete',
  'domainSetMemoryParameters',
  'domainSetMemoryFlags',
  'domainSetLaunchSecurityState',
  'domainMigrateBegin3Params',
  'domainMigratePerform3Params',
] as const satisfies readonly (keyof typeof remoteProcedures)[];
const WRITING_APIS = new Map(WRITING.map((key) => [remoteProcedures[key].number, remoteProcedures[key].api]));

/** `virCheckReadOnlyGoto` of the public functions. */
export function assertWritable({ prog, proc }: MessageHeader): void {
  const api = prog === qemuProgram.id ? 'virDomainQemuMonitorCommand' : WRITING_APIS.get(proc);
  if (prog === emulatorProgram.id || api === undefined) return;
  throw refusal('OPERATION_DENIED', prog === qemuProgram.id ? 'NONE' : 'DOMAIN', `read only access prevents ${api}`);
}
