/** Everything that a scenario may use; it imports nothing else. */

export { buildSecretTable, computeLaunchDigest, formatSevPolicy, Secret } from '../attestation/index.ts';
export { fromBase64, toBase64, toHex } from '../core/bytes.ts';
export { MEMORY_PICTURE_TYPE, SLOT_TIMELINE_TYPE } from '../reports/model/run.ts';
export { lintDomain } from './conformance/lint.ts';
export { enforcedMutants, type Mutant, mutantXml, sentenceOf } from './conformance/mutants.ts';
export { type Trial, tryDomain } from './conformance/trial.ts';
export { type ScenarioContext, scenario } from './fixtures/scenario.ts';
export {
  type AttestedGuest,
  expectedEsDigests,
  findSecretPlace,
  isMeasured,
  launchAttested,
  launchAttestedOrFail,
  launchObjections,
  readClaims,
  readGuestFirmware,
  readOtherGuestFirmware,
  sealFor,
  secretAddress,
} from './guest/attested.ts';
export { bearingOf, PAUSED, RUNNING, resetAndWait } from './guest/bearing.ts';
export { type AgentRequest, agentLaunch, type Workload } from './guest/boot.ts';
export type { GuestEvent, MemoryRun } from './guest/console/events.ts';
export type { GuestConsole } from './guest/console/follow.ts';
export { keepConsole } from './guest/console/keep.ts';
export { runDefectTests } from './guest/defect-tests.ts';
export {
  type BootBlob,
  bootAndWatch,
  type DirectBoot,
  findBootFiles,
  type MeasurableBoot,
  measurableLaunch,
  measuredBootDigest,
  swapBlob,
  withOwnInitrd,
} from './guest/direct-boot.ts';
export { DiskImages } from './guest/disk-images.ts';
export { countsText, memoryPicture, routesText } from './guest/memory/describe.ts';
export { entropyBits, histogramOf } from './guest/memory/histogram.ts';
export {
  canaryPlaces,
  hitsOutside,
  type MemorySurvey,
  scanGuest,
  surveyMemory,
} from './guest/memory/survey.ts';
export {
  howLimitEnds,
  impossibleMemoryMiB,
  type LimitVerdict,
  readOomRecord,
  readQemuMemory,
  readSliceLimits,
} from './guest/memory-limits.ts';
export { judgeBegin, judgeSave, MIGRATION_REFUSED } from './guest/migration-blocker.ts';
export { createOwnerSession, type Platform, readPlatform, sessionText } from './guest/platform.ts';
export {
  allowsDebug,
  demandsEs,
  FLAG_POLICIES,
  floorPolicies,
  RESERVED_POLICIES,
  sessionForPolicy,
} from './guest/policies.ts';
export {
  bareTable,
  DEBUG_PATTERN_HEX,
  debugText,
  matrixTable,
  type PolicyRow,
  reportText,
  rowText,
  toldText,
  tryPolicy,
} from './guest/policy-trial.ts';
export { GuestLauncher, type Launch, type LiveGuest, type PausedGuest, type RunningGuest } from './guest/running.ts';
export { randomBytesHex, sha256Hex, shortcutsOf } from './guest/shortcuts.ts';
export {
  allowLaunches,
  checkFilled,
  checkOneMore,
  countPlainGuests,
  countRunning,
  fillSlots,
  launchEach,
  launchTogether,
  stopAll,
} from './guest/slot-guests.ts';
export { kindPolicy } from './guest/spec.ts';
export { MAY_NOT_LOCK, startDefined } from './guest/start.ts';
export { forgeChain, ownerObjections, type Tampering, tamper, withOtherPdh } from './guest/tampering.ts';
export { usualKind } from './guest/usual-kind.ts';
export {
  type Bound,
  type Judgement,
  judgeEqual,
  judgeSlower,
  measureInterleaved,
  type Slowdown,
  SURE,
  slowdownOf,
  slowdownText,
  type WorkloadRound,
} from './guest/workload.ts';
export { answerOf, type HostAnswer } from './host/answer.ts';
export { encryptionInventory } from './host/inventory.ts';
export {
  countLookedAt,
  countMeans,
  countVerdicts,
  formatDefects,
  judgeDefects,
  undecided,
  unjudged,
  untested,
  vulnerableTo,
} from './host/known-defects/judge.ts';
export { readForDefects } from './host/known-defects/readings.ts';
export { hurryKsm, type Ksm, mergingPages, readKsm, restoreKsm, waitForScans } from './host/ksm.ts';
export { borrowKsm } from './host/ksm-record.ts';
export { findMeasuredBootImage, type GuestFirmwareImage } from './host/measured-boot.ts';
export { capabilitiesOf } from './host/needs.ts';
export { firmwareStatusIn } from './host/refusal.ts';
export { type BareAnswer, launchBare, launchEnd } from './host/secure-processor/bare-launch.ts';
export { readPlatformStatus } from './host/secure-processor/device.ts';
export {
  DESTRUCTIVE,
  driverDeviations,
  formatDriverRows,
  HARMLESS,
  tryDriverCommands,
  tryShortBuffers,
} from './host/secure-processor/driver-table.ts';
export {
  changedKeys,
  formatKeys,
  type PlatformKeys,
  readPlatformKeysOrFail,
  withKeys,
} from './host/secure-processor/platform-keys.ts';
export { endText, statusWord } from './host/secure-processor/program.ts';
export { readStateTable } from './host/secure-processor/specification.ts';
export {
  disagreements,
  formatTold,
  readFirmwareVersions,
  readIdentities,
} from './host/secure-processor/versions.ts';
export { advertisedLimits, hardwareLimits, type SlotPool, slotLimit, slotRoom, slotsInUse } from './host/slots.ts';
