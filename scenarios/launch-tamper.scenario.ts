import { createOwnerSession, GuestLauncher, launchAttested, readPlatform, scenario } from '../harness/test.ts';

const START = 'SEV API specification, section 6.2 LAUNCH_START';
/** Offsets in the session blob: the MAC of the wrapped keys, and the MAC of the policy (SEV API, section 2.2.2). */
const WRAP_MAC = 64;
const POLICY_MAC = 96;
/** Y of the point in a SEV certificate (SEV API, appendix C.1). */
const POINT_Y = 0x5c;
const NEWER_API = 0xffff_0003;

scenario(
  {
    id: 'launch-tamper',
    title: 'A launch session that somebody changed, or that was made for another platform or policy, starts no guest',
    source: [
      'nova specification "libvirt driver launching AMD SEV-encrypted instances": "keys the cloud user provides to the SEV firmware over a protected channel"',
      START,
    ],
    needs: ['sev'],
    maturity: 'experimental',
    checks: {
      'right-session-starts': { title: 'the session that nobody changed starts a guest' },
      'edited-policy-refused': {
        title: 'another policy than that of the session is refused (BAD_MEASUREMENT)',
        source: START,
      },
      'changed-keys-refused': {
        title: 'a session whose MACs were changed, and one for another platform, are refused (BAD_MEASUREMENT)',
        source: START,
      },
      'bent-point-refused': {
        title: "an owner's key that is not on the curve is refused (INVALID_CERTIFICATE; CVE-2019-9836)",
        source: START,
      },
      'newer-api-refused': {
        title: 'a policy that demands a newer firmware is refused (POLICY_FAILURE)',
        source: START,
      },
    },
  },
  async (context) => {
    const { host, facts, step, check, evidence } = context;
    const launcher = new GuestLauncher(context);
    const platform = await readPlatform(host, facts);
    const session = createOwnerSession(platform, 0x0003);
    const changed = (at: number) => {
      const bytes = Uint8Array.from(session.session);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      return { ...session, session: bytes };
    };
    const refusals: Record<string, string> = {};
    const statusOf = async (role: string, given: typeof session, policy = 0x0003) => {
      const answer = await launchAttested(launcher, platform, 'sev', role, { session: given, policy });
      if (!('refusal' in answer)) {
        await answer.guest.stop();
        return 'started';
      }
      refusals[role] = answer.refusal.text;
      const status = /LAUNCH_START ret=-?\d+ fw_error=(\d+)/.exec(answer.refusal.text)?.[1];
      return status === undefined ? answer.refusal.text : Number(status);
    };

    await step('launch with the session as it was made', async () =>
      check('right-session-starts', { expected: 'started', actual: await statusOf('right', session) }),
    );
    await step('launch with another policy', async () =>
      check('edited-policy-refused', { expected: 11, actual: await statusOf('policy', session, 0x0001) }),
    );
    await step('launch with changed keys', async () => {
      check('changed-keys-refused', {
        expected: { 'wrapped keys': 11, 'policy MAC': 11, 'another platform': 11 },
        actual: {
          'wrapped keys': await statusOf('wrap', changed(WRAP_MAC)),
          'policy MAC': await statusOf('mac', changed(POLICY_MAC)),
          'another platform': await statusOf('foreign', foreignSession(session, platform)),
        },
      });
    });
    await step('launch with a key that is not on the curve', async () => {
      const godh = Uint8Array.from(session.godh);
      godh[POINT_Y] = (godh[POINT_Y] ?? 0) ^ 1;
      check('bent-point-refused', { expected: 6, actual: await statusOf('bent', { ...session, godh }) });
    });
    await step('launch with a policy for newer firmware', async () => {
      const newer = createOwnerSession(platform, NEWER_API);
      check('newer-api-refused', { expected: 7, actual: await statusOf('newer', newer, NEWER_API) });
    });
    evidence.attach('refusals.json', JSON.stringify(refusals, null, 2), 'application/json');
  },
);

type Session = ReturnType<typeof createOwnerSession>;

/** The keys of one session under the owner's key of another: what a session made for another PDH looks like to this one. */
function foreignSession(session: Session, platform: Awaited<ReturnType<typeof readPlatform>>): Session {
  return { ...session, godh: createOwnerSession(platform, 0x0003).godh };
}
