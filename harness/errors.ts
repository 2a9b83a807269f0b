import { type ErrorCatalogue, errorFactory } from '../core/errors.ts';

/** Errors of the harness itself: hosts, guests, the scenario engine and the command line. */
export const harnessErrors = {
  ATTEST_DOWNLOAD: { kind: 'environment', summary: 'A certificate could not be downloaded from AMD.' },
  ATTEST_INPUT_BASE64: { kind: 'product', summary: 'Evidence that is base64 text breaks the rules of base64.' },
  ATTEST_INPUT_UNREADABLE: { kind: 'usage', summary: 'A file that a flag of attest names cannot be read.' },
  ATTEST_OUTPUT_EXISTS: { kind: 'usage', summary: 'A key or session file exists already and is not overwritten.' },
  ATTEST_OUTPUT_UNWRITABLE: { kind: 'environment', summary: 'A file or folder of attest cannot be written.' },
  ATTEST_ROOTS_REFUSED: {
    kind: 'product',
    summary: "Downloaded certificates are not those whose keys are pinned as AMD's, or do not verify.",
  },
  BOOT_FILE_UNREADABLE: {
    kind: 'environment',
    summary: 'A kernel or initrd of the host cannot be read, so that its measurement cannot be verified.',
  },
  CHECK_UNDECLARED: {
    kind: 'harness',
    summary: 'A scenario reported a check that its header does not declare, or one twice.',
  },
  CHECK_UNREPORTED: {
    kind: 'harness',
    summary: 'A scenario ended well without a verdict on a check that it declares.',
  },
  CLI_USAGE: { kind: 'usage', summary: 'The command line has an unknown scenario, flag or value.' },
  DIST_STALE: {
    kind: 'environment',
    summary: 'The compiled program is older than its source and could not be rebuilt.',
  },
  DOMAIN_XML_FORBIDDEN: {
    kind: 'usage',
    summary: 'Domain XML has a document type or an undeclared entity, or is too large or nested too deeply.',
  },
  DOMAIN_XML_MALFORMED: { kind: 'usage', summary: 'What was given as domain XML is not well-formed XML in UTF-8.' },
  DOMAIN_XML_OTHER_ROOT: { kind: 'usage', summary: 'What was given as domain XML has another root than <domain>.' },
  GUEST_FILE_UNUSABLE: {
    kind: 'environment',
    summary:
      'A kernel, initrd, disk image or firmware that a guest is made of is missing, unreadable or not what it should be.',
  },
  GUEST_FIRMWARE_UNREADABLE: {
    kind: 'environment',
    summary:
      'The firmware image that the host gives its guests cannot be read, so that no measurement can be verified.',
  },
  GUEST_WAIT_TIMEOUT: { kind: 'product', summary: 'A guest did not reach the state that was waited for.' },
  HOST_FORM: { kind: 'usage', summary: 'A host is neither fake:<profile> nor a libvirt URI that the client supports.' },
  HOST_LEASED: { kind: 'environment', summary: 'Another run of the harness has the host for itself.' },
  HOST_LEASE_LOST: { kind: 'environment', summary: 'Another run took the host over while this one was at work on it.' },
  HOST_LEASE_UNUSABLE: { kind: 'environment', summary: 'The lease file of a host cannot be read or written.' },
  HOST_LOCKED_MEMORY: {
    kind: 'environment',
    summary: 'The libvirtd of the host may not let QEMU lock memory, without which no encrypted guest starts.',
  },
  HOST_MEMORY: {
    kind: 'environment',
    summary: 'The host has less memory available than the guests of a scenario need.',
  },
  HOST_KSM: { kind: 'environment', summary: 'Kernel samepage merging of the host does not do what it was asked.' },
  HOST_SHELL: { kind: 'environment', summary: "The host's own shell (local, ssh or emulated) refused or failed." },
  INPUT_EMPTY: { kind: 'environment', summary: 'What was given to be judged is empty.' },
  INPUT_UNREADABLE: { kind: 'usage', summary: 'A file that was named to be read cannot be read, or is too large.' },
  LAUNCH_REFUSED: { kind: 'product', summary: 'The host refused a launch that a scenario cannot go on without.' },
  OUTPUT_UNWRITABLE: {
    kind: 'environment',
    summary: 'A file that was to be changed cannot be written, and is as it was; or standard output cannot be.',
  },
  PLATFORM_CERTIFICATES_MISSING: {
    kind: 'environment',
    summary: 'libvirt gives neither the PDH nor the certificate chain of the host.',
  },
  PLATFORM_KEYS_UNREADABLE: {
    kind: 'environment',
    summary: 'The SEV firmware no longer gives its certificates in the middle of making new keys.',
  },
  SCENARIO_FILE: { kind: 'harness', summary: 'A scenario file did not load, or its id is not its file name.' },
  SCENARIO_INTERRUPTED: { kind: 'environment', summary: 'The run was interrupted before the scenario ended.' },
  SCENARIO_NEED_UNMET: { kind: 'environment', summary: 'A need that --require names is not met by the host.' },
  SCENARIO_PROMISE_BROKEN: { kind: 'product', summary: 'At least one check of a scenario failed.' },
  SCENARIO_TIMEOUT: { kind: 'product', summary: 'A scenario did not end within its time.' },
  SLOT_LIMIT_UNKNOWN: { kind: 'environment', summary: 'The host advertises no guest limit and none was configured.' },
} as const satisfies ErrorCatalogue;

export const harnessError = errorFactory(harnessErrors);
