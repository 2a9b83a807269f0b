import { toBase64 } from '../../../core/bytes.ts';
import { CERTIFICATE_BYTES } from '../firmware/certificate.ts';
import type { SevDriver } from '../firmware/driver.ts';
import { CHAIN_BYTES } from '../firmware/identity.ts';
import { type Reply, SEV_STATUS } from '../firmware/status.ts';
import { ERRNO } from './errno.ts';

/** One command for /dev/sev, with the length of each buffer that the caller offers. */
export interface IoctlRequest {
  readonly command: string;
  readonly lengths: readonly number[];
}

/** What the ioctl left: `status` is null where the driver did not ask the firmware. */
export interface IoctlAnswer {
  readonly errno: number;
  readonly status: number | null;
  readonly lengths: readonly number[];
  /** Base64. */
  readonly outputs: readonly string[];
}

const NOT_ASKED: IoctlAnswer = { errno: ERRNO.EINVAL, status: null, lengths: [], outputs: [] };
const STATUS_BYTES = 12;
const OWNED = 1;
/** SEV_STATUS_FLAGS_CONFIG_ES */
const CONFIG_ES = 0x100;

/**
 * SEV_ISSUE_CMD as the ccp driver carries it out for a caller who may write (drivers/crypto/ccp/sev-dev.c, `sev_ioctl`):
 * it starts the firmware where a command needs it, and refuses a factory reset itself while guests exist.
 */
export function issueOnDevice(driver: SevDriver, { command, lengths }: IoctlRequest): IoctlAnswer {
  const { platform } = driver.processor;
  switch (command) {
    case 'FACTORY_RESET': {
      if (driver.guestCount > 0) return { ...NOT_ASKED, errno: ERRNO.EBUSY, status: SEV_STATUS.SUCCESS };
      platform.shutdown();
      return ended(platform.factoryReset());
    }
    case 'PLATFORM_STATUS':
      return { errno: 0, status: 0, lengths: [STATUS_BYTES], outputs: [toBase64(statusBytes(driver))] };
    case 'PEK_GEN':
      return started(driver) ?? ended(platform.pekGen());
    case 'PDH_GEN':
      return started(driver) ?? ended(platform.pdhGen());
    case 'PEK_CSR':
      return (
        started(driver) ??
        filled(
          platform.pekCsr(lengths[0] ?? 0),
          ({ csr }) => [csr],
          () => [CERTIFICATE_BYTES],
        )
      );
    case 'PDH_CERT_EXPORT':
      return (
        started(driver) ??
        filled(
          platform.pdhCertExport(lengths[0] ?? 0, lengths[1] ?? 0),
          ({ pdh, chain }) => [pdh, chain],
          () => [CERTIFICATE_BYTES, CHAIN_BYTES],
        )
      );
    case 'GET_ID':
      return filled(
        platform.getId(lengths[0] ?? 0),
        ({ id }) => [id],
        (needed) => [needed],
      );
    default:
      // SNP_PLATFORM_STATUS of a host that has SEV-SNP off is one of these.
      return NOT_ASKED;
  }
}

function started(driver: SevDriver): IoctlAnswer | undefined {
  const status = driver.init();
  return status === SEV_STATUS.SUCCESS ? undefined : { ...NOT_ASKED, errno: ERRNO.EIO, status };
}

function ended({ status }: Reply): IoctlAnswer {
  return { errno: status === SEV_STATUS.SUCCESS ? 0 : ERRNO.EIO, status, lengths: [], outputs: [] };
}

function filled<T extends object>(
  reply: Reply<T>,
  outputs: (reply: T) => readonly Uint8Array[],
  needed: (requiredBytes: number) => readonly number[],
): IoctlAnswer {
  if (reply.status === SEV_STATUS.SUCCESS) {
    const bytes = outputs(reply);
    return { errno: 0, status: 0, lengths: bytes.map((one) => one.length), outputs: bytes.map(toBase64) };
  }
  const { status, requiredBytes } = reply as { status: number; requiredBytes?: number };
  return { errno: ERRNO.EIO, status, lengths: needed(requiredBytes ?? 0), outputs: [] };
}

/** struct sev_user_data_status */
function statusBytes({ processor }: SevDriver): Uint8Array {
  const bytes = new Uint8Array(STATUS_BYTES);
  const reply = processor.platform.status();
  if (reply.status !== SEV_STATUS.SUCCESS) return bytes;
  const view = new DataView(bytes.buffer);
  view.setUint8(0, reply.apiMajor);
  view.setUint8(1, reply.apiMinor);
  view.setUint8(2, reply.stateNumber);
  view.setUint32(3, (reply.isExternallyOwned ? OWNED : 0) | (reply.isEsEnabled ? CONFIG_ES : 0), true);
  view.setUint8(7, reply.build);
  view.setUint32(8, reply.guestCount, true);
  return bytes;
}
