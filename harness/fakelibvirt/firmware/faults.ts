/** What can be wrong with the emulated Secure Processor: each id, and what it breaks. */
export const FIRMWARE_FAULTS = {
  'measure-ignores-policy': 'the launch measurement does not cover the policy',
  'measure-ignores-nonce': 'the launch measurement does not cover its nonce',
  'measure-ignores-build': 'the launch measurement does not cover the build number of the firmware',
  'measure-ignores-api': 'the launch measurement does not cover the API version of the firmware',
  'measure-nonce-constant': 'every launch measurement carries the same nonce',
  'measure-out-of-order': 'the launch measurement can be taken again when the guest is past its measurement',
  'digest-skips-page': 'the second page of every loaded region does not enter the launch digest',
  'digest-reversed': 'the launch digest covers the loaded pages in reverse order',
  'vmsa-not-measured': 'the first register state of a vCPU does not enter the launch digest',
  'session-ignored': "the guest owner's session is checked and then not used: TIK and TEK are zero",
  'session-mac-unchecked': 'LAUNCH_START checks neither the MAC of the wrapped keys nor the MAC of the policy',
  'godh-point-unchecked': 'LAUNCH_START takes a GODH point that is not on the curve (CVE-2019-9836)',
  'policy-api-floor-ignored': 'a policy that demands a newer firmware API is accepted',
  'policy-reserved-ignored': 'a policy with reserved bits set is accepted',
  'policy-readback-stale': 'GUEST_STATUS reports the policy of the guest that was launched before',
  'es-without-support': 'a SEV-ES guest starts although SEV-ES is not enabled',
  'debug-ignores-nodbg': 'DBG_DECRYPT and DBG_ENCRYPT work for a guest whose policy forbids debugging',
  'secret-while-running': 'LAUNCH_SECRET works after LAUNCH_FINISH',
  'secret-mac-unchecked': 'LAUNCH_SECRET does not check the MAC of the packet',
  'secret-not-bound':
    'the MAC of a secret packet does not cover the launch measurement, so that packets can be replayed',
  'pek-signed-by-wrong-key': 'the CEK signature on the PEK is made with another key',
  'pdh-signed-by-wrong-key': 'the PEK signature on the PDH is made with another key',
  'pdh-not-rotated': 'PDH_GEN succeeds and leaves the PDH as it was',
  'pek-not-rotated': 'PEK_GEN succeeds and leaves OCA, PEK and PDH as they were',
  'status-api-wrong':
    'PLATFORM_STATUS reports an API minor version one above that of the measurement and the certificates',
  'nosend-refused': 'a policy that forbids sending is refused',
  'debug-always-refused': 'DBG_DECRYPT and DBG_ENCRYPT are refused for a guest whose policy allows debugging',
  'small-order-point-accepted': 'LAUNCH_START takes a GODH point of order two, which lies on another curve',
  'old-pdh-still-opens': 'LAUNCH_START still opens sessions for the PDH before the newest one',
  'rotated-pek-signed-by-wrong-key': 'the CEK signature on a PEK that PEK_GEN makes is made with another key',
  'short-buffer-status-wrong':
    'a buffer that is too small is refused with INVALID_PARAM, and not with the length it needs',
  'pek-gen-while-working': 'PEK_GEN makes new keys while guests exist',
  'measure-status-wrong': 'LAUNCH_MEASURE in the wrong state says that there is no such guest',
  'flush-not-demanded': 'a dirty ASID can be activated without WBINVD and DF_FLUSH',
} as const satisfies Readonly<Record<string, string>>;

export type FirmwareFaultId = keyof typeof FIRMWARE_FAULTS;

export type FirmwareFaults = Pick<ReadonlySet<FirmwareFaultId>, 'has'>;
