import { type ErrorCatalogue, errorFactory } from '../core/errors.ts';

/** Errors of the harness itself: hosts, guests, the scenario engine and the command line. */
export const harnessErrors = {
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
  GUEST_WAIT_TIMEOUT: { kind: 'product', summary: 'A guest did not reach the state that was waited for.' },
  HOST_FORM: { kind: 'usage', summary: 'A host is neither fake:<profile> nor a libvirt URI that the client supports.' },
  HOST_FACT_UNREADABLE: { kind: 'environment', summary: 'A fact of the host that a scenario needs cannot be read.' },
  HOST_MEMORY: { kind: 'environment', summary: 'The host has less free memory than the guests of a scenario need.' },
  HOST_SHELL: { kind: 'environment', summary: "The host's own shell (local, ssh or emulated) refused or failed." },
  NOTHING_EXECUTED: { kind: 'environment', summary: 'No scenario executed: a run without evidence is not a success.' },
  REAP_FAILED: { kind: 'environment', summary: 'A leftover domain could not be removed.' },
  SCENARIO_FILE: { kind: 'harness', summary: 'A scenario file did not load, or its id is not its file name.' },
  SCENARIO_INTERRUPTED: { kind: 'environment', summary: 'The run was interrupted before the scenario ended.' },
  SCENARIO_NEED_UNMET: { kind: 'environment', summary: 'A need that --require names is not met by the host.' },
  SCENARIO_PROMISE_BROKEN: { kind: 'product', summary: 'At least one check of a scenario failed.' },
  SCENARIO_TIMEOUT: { kind: 'product', summary: 'A scenario did not end within its time.' },
  SLOT_LIMIT_UNKNOWN: { kind: 'environment', summary: 'The host advertises no guest limit and none was configured.' },
} as const satisfies ErrorCatalogue;

export const harnessError = errorFactory(harnessErrors);
