import type { Profile } from '../profiles/profile.ts';

type Registers = readonly [eax: number, ebx: number, ecx: number, edx: number];

const BRAND_CHARACTERS = 48;
const NONE: Registers = [0, 0, 0, 0];

/** CPUID as the hardware answers, whatever BIOS and kernel make of it; leaves that nothing here reads are zero. */
export function cpuidLeaf(profile: Profile, leaf: number): Registers {
  const { memoryEncryption, cpu } = profile;
  switch (leaf) {
    case 0:
      return [0x10, ...vendorWords()];
    case 1:
      return [signature(profile), 0, 0, 0];
    case 0x80000000:
      return [memoryEncryption.eax === 0 ? 0x8000001e : 0x8000001f, ...vendorWords()];
    case 0x80000001:
      return [signature(profile), 0, SVM, 0];
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
      return brandWords(cpu.brand, leaf - 0x80000002);
    case 0x80000008:
      return [0x3030, 0, cpu.coresPerSocket * cpu.threadsPerCore - 1, 0];
    case 0x8000001f:
      return [memoryEncryption.eax, memoryEncryption.ebx, memoryEncryption.maxAsid, memoryEncryption.minSevAsid];
    default:
      return NONE;
  }
}

/** CPUID 0x80000001 ECX bit 2 */
const SVM = 1 << 2;

/** Family, model and stepping as CPUID packs them. */
function signature({ cpu: { family, model, stepping } }: Profile): number {
  const extendedFamily = Math.max(0, family - 0xf);
  return (extendedFamily << 20) | ((model >> 4) << 16) | (Math.min(family, 0xf) << 8) | ((model & 0xf) << 4) | stepping;
}

/** EBX, ECX, EDX: the vendor string is spread as EBX EDX ECX. */
function vendorWords(): [number, number, number] {
  const bytes = Buffer.from('AuthenticAMD', 'latin1');
  return [bytes.readUInt32LE(0), bytes.readUInt32LE(8), bytes.readUInt32LE(4)];
}

function brandWords(brand: string, part: number): Registers {
  const bytes = Buffer.alloc(BRAND_CHARACTERS);
  bytes.write(brand, 'latin1');
  const word = (index: number) => bytes.readUInt32LE(part * 16 + index * 4);
  return [word(0), word(1), word(2), word(3)];
}
