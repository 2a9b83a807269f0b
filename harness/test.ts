/** Everything that a scenario may use; it imports nothing else. */

export { buildSecretTable, Secret } from '../attestation/index.ts';
export { fromBase64, toBase64, toHex } from '../core/bytes.ts';
export { SLOT_TIMELINE_TYPE } from '../reports/model/run.ts';
export { lintDomain } from './conformance/lint.ts';
export { enforcedMutants, type Mutant, mutantXml, sentenceOf } from './conformance/mutants.ts';
export { type Trial, tryDomain } from './conformance/trial.ts';
export { type ScenarioContext, scenario } from './fixtures/scenario.ts';
export {
  type AttestedGuest,
  expectedDigests,
  isMeasured,
  launchAttested,
  launchAttestedOrFail,
  readClaims,
  readGuestFirmware,
  sealFor,
  secretAddress,
} from './guest/attested.ts';
export { GuestConsole } from './guest/console/follow.ts';
export { readConsole } from './guest/console-lines.ts';
export { createOwnerSession, type Platform, readPlatform } from './guest/platform.ts';
export {
  allowsDebug,
  demandsEs,
  FLAG_POLICIES,
  floorPolicies,
  RESERVED_POLICIES,
  sessionForPolicy,
} from './guest/policies.ts';
export { GuestLauncher, type RunningGuest } from './guest/running.ts';
export { randomBytesHex, sha256Hex, shortcutsOf } from './guest/shortcuts.ts';
export { countRunning, fillSlots, launchEach, stopAll } from './guest/slot-guests.ts';
export { answerOf, type HostAnswer } from './host/answer.ts';
export { encryptionInventory } from './host/inventory.ts';
export { advertisedLimits, hardwareLimits, type SlotPool, slotLimit, slotsInUse } from './host/slots.ts';
