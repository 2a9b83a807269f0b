import type { Rule } from './rule.ts';
import { deviceRules } from './rules/devices.ts';
import { firmwareRules } from './rules/firmware.ts';
import { iommuRules } from './rules/iommu.ts';
import { launchSecurityRules } from './rules/launch-security.ts';
import { virtioVersionRules } from './rules/legacy-virtio.ts';
import { memoryRules } from './rules/memory.ts';
import { policyRules } from './rules/policy.ts';

/** Every rule, in the order in which a reader meets them. */
export const ruleCatalogue: readonly Rule[] = [
  ...launchSecurityRules,
  ...policyRules,
  ...firmwareRules,
  ...memoryRules,
  ...virtioVersionRules,
  ...iommuRules,
  ...deviceRules,
];
