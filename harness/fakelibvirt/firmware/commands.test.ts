import { describe, expect, test } from 'vitest';
import { COMMAND_NAMES, COMMANDS, commandTable, statusByState } from './commands.ts';
import { SEV_STATUS, sevStatusName, sevStatusText } from './status.ts';

/**
 * Written from the specification's tables, not from the code. One letter per column of the command table:
 * platform UNINIT, platform INIT, then platform WORKING with no such guest, LUPDATE, LSECRET, RUNNING, SUPDATE, RUPDATE,
 * SENT. `+` allowed, `P` INVALID_PLATFORM_STATE, `G` INVALID_GUEST, `S` INVALID_GUEST_STATE.
 */
const SPECIFIED = `
  INIT                0x01  + P P P P P P P P
  SHUTDOWN            0x02  + + + + + + + + +
  FACTORY_RESET       0x03  + P P P P P P P P
  PLATFORM_STATUS     0x04  + + + + + + + + +
  PEK_GEN             0x05  P + P P P P P P P
  PEK_CSR             0x06  P + + + + + + + +
  PEK_CERT_IMPORT     0x07  P + P P P P P P P
  PDH_CERT_EXPORT     0x08  P + + + + + + + +
  PDH_GEN             0x09  P + + + + + + + +
  DF_FLUSH            0x0a  + + + + + + + + +
  GET_ID              0x0c  + + + + + + + + +
  DECOMMISSION        0x20  P P G + + + + + +
  ACTIVATE            0x21  P P G + + + + + S
  DEACTIVATE          0x22  P P G + + + + + +
  GUEST_STATUS        0x23  P + + + + + + + +
  LAUNCH_START        0x30  P + + + + + + + +
  LAUNCH_UPDATE_DATA  0x31  P P G + S S S S S
  LAUNCH_UPDATE_VMSA  0x32  P P G + S S S S S
  LAUNCH_MEASURE      0x33  P P G + S S S S S
  LAUNCH_SECRET       0x34  P P G S + S S S S
  LAUNCH_FINISH       0x35  P P G S + S S S S
  ATTESTATION         0x36  P P G S + + + S +
  SEND_START          0x40  P P G S S + S S S
  SEND_UPDATE_DATA    0x41  P P G S S S + S S
  SEND_UPDATE_VMSA    0x42  P P G S S S + S S
  SEND_FINISH         0x43  P P G S S S + S S
  SEND_CANCEL         0x44  P P G S S S + S S
  RECEIVE_START       0x50  P + + + + + + + +
  RECEIVE_UPDATE_DATA 0x51  P P G S S S S + S
  RECEIVE_UPDATE_VMSA 0x52  P P G S S S S + S
  RECEIVE_FINISH      0x53  P P G S S S S + S
  DBG_DECRYPT         0x60  P P G + + + + + +
  DBG_ENCRYPT         0x61  P P G + + + + + +
`;

const LETTERS: Readonly<Record<string, string>> = {
  SUCCESS: '+',
  INVALID_PLATFORM_STATE: 'P',
  INVALID_GUEST: 'G',
  INVALID_GUEST_STATE: 'S',
};

describe('the command table', () => {
  const specified = SPECIFIED.trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));

  test('has the commands of the specification and no others', () => {
    expect([...COMMAND_NAMES].sort()).toEqual(specified.map(([name]) => name).sort());
  });

  test.each(specified)('%s', (name, id, ...letters) => {
    const row = commandTable().find(({ command }) => command === name);
    expect(row?.id).toBe(Number(id));
    expect(row?.cells.map((cell) => LETTERS[cell.name])).toEqual(letters);
  });

  test('its numbers are the numbers of the names', () => {
    for (const { cells } of commandTable()) {
      for (const cell of cells) expect(SEV_STATUS[cell.name]).toBe(cell.status);
    }
  });

  test('a command id belongs to one command', () => {
    expect(new Set(Object.values(COMMANDS).map(({ id }) => id)).size).toBe(COMMAND_NAMES.length);
  });

  test('an allowed platform command does not look at guests', () => {
    expect(statusByState('PDH_GEN', 'INIT', 'UNINIT')).toBe(SEV_STATUS.SUCCESS);
  });
});

test('names and texts of status codes are those of the kernel and of QEMU', () => {
  const specified = `
    00 SUCCESS
    01 INVALID_PLATFORM_STATE Platform state is invalid
    02 INVALID_GUEST_STATE Guest state is invalid
    03 INVALID_CONFIG Platform configuration is invalid
    04 INVALID_LENGTH Buffer too small
    05 ALREADY_OWNED Platform is already owned
    06 INVALID_CERTIFICATE Certificate is invalid
    07 POLICY_FAILURE Policy is not allowed
    08 INACTIVE Guest is not active
    09 INVALID_ADDRESS Invalid address
    0a BAD_SIGNATURE Bad signature
    0b BAD_MEASUREMENT Bad measurement
    0c ASID_OWNED ASID is already owned
    0d INVALID_ASID Invalid ASID
    0e WBINVD_REQUIRED WBINVD is required
    0f DF_FLUSH_REQUIRED DF_FLUSH is required
    10 INVALID_GUEST Guest handle is invalid
    11 INVALID_COMMAND Invalid command
    12 ACTIVE Guest is active
    13 HARDWARE_PLATFORM Hardware error
    14 HARDWARE_UNSAFE Hardware unsafe
    15 UNSUPPORTED Feature not supported
    16 INVALID_PARAM Invalid parameter
    17 RESOURCE_LIMIT Required firmware resource depleted
    18 SECURE_DATA_INVALID Part-specific integrity check failure`;
  const lines = Object.values(SEV_STATUS).map((status) =>
    `${status.toString(16).padStart(2, '0')} ${sevStatusName(status)} ${sevStatusText(status)}`.trim(),
  );
  expect(lines).toEqual(specified.trim().split(/\n\s*/));
});
