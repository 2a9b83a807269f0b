/** A placement inventory record of nova's resource class MEM_ENCRYPTION_CONTEXT (nova/virt/libvirt/driver.py). */
export interface EncryptionInventory {
  readonly total: number;
  readonly used: number;
  readonly min_unit: 1;
  readonly max_unit: 1;
  readonly step_size: 1;
  readonly reserved: 0;
  readonly allocation_ratio: 1;
}

/** What nova would report for a host with `total` slots of which `used` are taken. */
export function encryptionInventory(total: number, used: number): EncryptionInventory {
  return { total, used, min_unit: 1, max_unit: 1, step_size: 1, reserved: 0, allocation_ratio: 1 };
}
