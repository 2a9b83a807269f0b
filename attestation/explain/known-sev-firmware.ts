/** A SEV firmware that has been seen in the field. */
export interface KnownSevFirmware {
  readonly apiMajor: number;
  readonly apiMinor: number;
  readonly buildId: number;
  /** Processor family it was seen on, or several. */
  readonly product: string;
  /** Where it was seen. */
  readonly source: string;
}

/**
 * Versions to try when a measurement does not match: each firmware update changes three bytes inside the HMAC.
 *
 * Not complete and not a statement about security: AMD publishes no list of all builds. The product is a reading of the
 * source where that names none.
 */
export const KNOWN_SEV_FIRMWARE: readonly KnownSevFirmware[] = (
  [
    [0, 16, 12, 'Naples', 'AMDESE/AMDSEV issue 41'],
    [0, 17, 1, 'Naples', 'AMDESE/AMDSEV issue 32'],
    [0, 17, 5, 'Naples', 'AMDESE/AMDSEV README, Ubuntu 18.10'],
    [0, 17, 22, 'Naples', 'AMDESE/AMDSEV issue 41, amd_sev_fam17h_model0xh_0.17b22'],
    [0, 17, 48, 'Naples', 'kernel log in a set-up guide'],
    [0, 18, 15, 'Naples or Rome', 'AMDESE/sev-tool src/tests.cpp'],
    [0, 23, 4, 'Rome', 'kernel log of a host with 509 ASIDs'],
    [0, 24, 14, 'Rome', 'kernel log in a set-up guide'],
    [0, 24, 15, 'Rome', 'query-sev of an EPYC 7302'],
    [0, 24, 20, 'Rome', 'linux-firmware, August 2024'],
    [0, 31, 43, 'Milan', 'AMDESE/AMDSEV issue 81'],
    [1, 40, 40, 'Milan', 'virtee/sevctl tests/measurementbuild.rs'],
    [1, 49, 3, 'Milan', 'AMDESE/AMDSEV issue 140'],
    [1, 49, 6, 'Milan', 'virtee/sevctl tests/measurementbuild.rs'],
    [1, 51, 3, 'Milan', 'enarx/enarx issue 2263'],
    [1, 52, 4, 'Milan', 'kernel log of a host with 509 ASIDs'],
    [1, 53, 5, 'Milan', 'AMDESE/AMDSEV issue 271'],
    [1, 55, 7, 'Milan', 'AMDESE/AMDSEV issue 271, MilanPI 1.0.0.B'],
    [1, 55, 21, 'Milan', 'linux-firmware, August 2024'],
    [1, 55, 22, 'Milan', 'AMD-SB-3015'],
    [1, 55, 24, 'Milan or Genoa', 'kernel log'],
    [1, 55, 25, 'Genoa', 'AMD-ASPFW, published source'],
    [1, 55, 29, 'Milan', 'linux-firmware, February 2025; MilanPI 1.0.0.F'],
    [1, 55, 31, 'Milan', 'AMDESE/AMDSEV issues 271 and 282'],
    [1, 55, 32, 'Genoa', 'kernel log of a rented host'],
    [1, 55, 37, 'Genoa, Bergamo, Siena', 'linux-firmware, August 2024'],
    [1, 55, 38, 'Genoa', 'AMD-SB-3015'],
    [1, 55, 39, 'Genoa, Bergamo, Siena', 'linux-firmware, February 2025'],
    [1, 55, 54, 'Turin', 'linux-firmware, February 2025'],
    [1, 55, 61, 'Genoa or Turin', 'kernel log of a host with 1006 ASIDs'],
  ] as const
).map(([apiMajor, apiMinor, buildId, product, source]) => ({ apiMajor, apiMinor, buildId, product, source }));
