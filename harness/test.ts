/** Everything that a scenario may use; it imports nothing else. */

export { SLOT_TIMELINE_TYPE } from '../reports/model/run.ts';
export { lintDomain } from './conformance/lint.ts';
export { enforcedMutants, type Mutant, mutantXml, sentenceOf } from './conformance/mutants.ts';
export { type Trial, tryDomain } from './conformance/trial.ts';
export { type ScenarioContext, scenario } from './fixtures/scenario.ts';
export { GuestLauncher, type RunningGuest } from './guest/running.ts';
export { countRunning, fillSlots, launchEach, stopAll } from './guest/slot-guests.ts';
export { encryptionInventory } from './host/inventory.ts';
export { advertisedLimits, hardwareLimits, type SlotPool, slotLimit, slotsInUse } from './host/slots.ts';
