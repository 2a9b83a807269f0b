import type { DefectReadings, TestResult } from './readings.ts';

/**
 * `fixed` and `vulnerable` were shown, by a test or a version. `exposed`: a property that nobody claims to have mended on
 * this generation. `unseen`: nothing outside of the chip shows it.
 */
export type DefectVerdict = 'fixed' | 'vulnerable' | 'exposed' | 'unknown' | 'not affected' | 'unseen';

export interface Judgement {
  readonly verdict: DefectVerdict;
  readonly because: string;
  /** What every host should tell and this one does not, so that nobody can judge. */
  readonly missing?: 'generation' | 'firmware version' | 'microcode';
}

/** How a defect is looked for. */
export type Detection = 'test' | 'version' | 'platform bit' | 'none';

export interface Defect {
  readonly id: string;
  /** CVE numbers and AMD's bulletin. */
  readonly names: string;
  readonly breaks: string;
  readonly detection: Detection;
  judge(readings: DefectReadings): Judgement;
}

export interface JudgedDefect extends Judgement {
  readonly defect: Defect;
}

export function is(verdict: DefectVerdict, because: string): Judgement {
  return { verdict, because };
}

/** What a test says: passed is fixed, failed is what the defect's nature makes of it. */
export function tested({ passed, words }: TestResult, failed: 'vulnerable' | 'exposed'): Judgement {
  if (passed === undefined) return is('unknown', words);
  return is(passed ? 'fixed' : failed, words);
}

const NO_GENERATION: Judgement = {
  ...is('unknown', 'the processor is none of the EPYC generations that the list knows'),
  missing: 'generation',
};

/** Only for these generations; the others are not affected. */
export function onGenerations(
  affected: Readonly<Record<string, (readings: DefectReadings) => Judgement>>,
  others: string,
): (readings: DefectReadings) => Judgement {
  return (readings) => {
    if (readings.generation === undefined) return NO_GENERATION;
    return affected[readings.generation]?.(readings) ?? is('not affected', others);
  };
}

const SNP_GENERATIONS = ['Milan', 'Genoa', 'Bergamo or Siena', 'Turin', 'Turin Dense'];

/** Defects of SEV-SNP: earlier generations do not have it. */
export function onSnp(judge: (readings: DefectReadings) => Judgement): (readings: DefectReadings) => Judgement {
  return (readings) => {
    if (readings.generation === undefined) return NO_GENERATION;
    if (SNP_GENERATIONS.includes(readings.generation)) return judge(readings);
    return is('not affected', `${readings.generation} has no SEV-SNP`);
  };
}

/** Lowest firmware without a defect. */
export function firmwareFloor(major: number, minor: number, build: number): (readings: DefectReadings) => Judgement {
  const floor = `${major}.${minor} build ${build}`;
  return ({ firmware }) => {
    if (firmware === undefined)
      return {
        ...is('unknown', `fixed in ${floor}; the host does not tell its firmware`),
        missing: 'firmware version',
      };
    const { apiMajor, apiMinor } = firmware;
    const age = apiMajor - major || apiMinor - minor || firmware.build - build;
    const running = `${apiMajor}.${apiMinor} build ${firmware.build}`;
    return age >= 0
      ? is('fixed', `firmware ${running}; fixed in ${floor}`)
      : is('vulnerable', `firmware ${running} is older than ${floor}`);
  };
}

/** A fix that AMD names by platform initialisation package only, which no program of the host can read. */
export function byBulletin(bulletin: string): () => Judgement {
  return () => is('unknown', `the fix has no number that a host tells: hold the versions above against ${bulletin}`);
}
