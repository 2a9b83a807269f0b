import type { SevFacts } from './facts.ts';
import { launchBare, launchEnd } from './secure-processor/bare-launch.ts';
import { endText, type ProgramHost } from './secure-processor/program.ts';

const ES_POLICY = 0x0005;
/** SEV API, status codes: the feature is not supported. */
const UNSUPPORTED = 21;

/**
 * The facts, with what the firmware says of SEV-ES where SEV-SNP is on too: neither libvirt nor most kernels know of a
 * refusal, only a launch tells.
 *
 * It has an SEV-ES slot for a moment: only for a run that has the host, because another may be counting its slots.
 */
export async function askForEs(host: ProgramHost, facts: SevFacts): Promise<SevFacts> {
  const { sevEs, sevSnp } = facts.kvmParameters;
  if (!sevEs || !sevSnp) return facts;
  const unknown = (because: string) => ({ ...facts, unknown: { ...facts.unknown, esRefusal: because } });
  const answers = await launchBare(host, [{ isEs: true, policy: ES_POLICY }]);
  if ('because' in answers) return unknown(`KVM cannot be asked directly: ${answers.because}`);
  const [end] = answers.map(launchEnd);
  if (end === undefined || end.errno === 0) return facts;
  if (end.status === UNSUPPORTED) return { ...facts, esRefusal: endText(end) };
  return unknown(`a launch with SEV-ES ended with ${endText(end)}`);
}
