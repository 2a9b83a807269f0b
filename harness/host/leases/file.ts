import { randomUUID } from 'node:crypto';
import { harnessError } from '../../errors.ts';
import type { HostShell } from '../shell.ts';
import type { FoundLease } from './record.ts';

/** A lease file on a host, changed by comparing and swapping only. */
export interface LeaseFile {
  /** Where it lies, for people. */
  readonly path: string;
  /** The lease that is there; undefined when there is none. */
  look(): Promise<FoundLease | undefined>;
  /**
   * Replaces what `look` found by `text`, or removes it when `text` is undefined. `changed` when something else is there
   * by now. Throws `HOST_LEASE_UNUSABLE`.
   */
  swap(expected: FoundLease | undefined, text: string | undefined): Promise<'swapped' | 'changed'>;
}

const TEXT_MAX_BYTES = 4096;
const LOCK_WAIT_S = 10;
const LOCK_TIMEOUT_EXIT = 75;
const ABSENT = 'absent';
const LOOK = 'look';

/**
 * Arguments: folder, name, expected digest, new text, name of a temporary file. Prints `<outcome> <age> <digest>` and the
 * text. The folder may be written by anybody, so no link is followed: what is created must not exist, and is moved.
 */
const SWAP = `cd -- "$1" || exit 1
if [ -L "$2" ] || { [ -e "$2" ] && [ ! -f "$2" ]; }; then echo "$1/$2 is not a plain file" >&2; exit 1; fi
digest=${ABSENT} age=0
if [ -e "$2" ]; then
  sum=$(sha256sum < "$2") && changed=$(stat -c %Y -- "$2") || exit 1
  digest=\${sum%% *} age=$(($(date +%s) - changed))
fi
if [ "$3" != "$digest" ]; then
  echo "changed $age $digest"
  if [ "$digest" != ${ABSENT} ]; then head -c ${TEXT_MAX_BYTES} -- "$2"; fi
  exit 0
fi
if [ -z "$4" ]; then rm -f -- "$2" || exit 1
else
  set -C
  if ! { printf '%s\\n' "$4" > "$5"; } || ! mv -f -- "$5" "$2"; then rm -f -- "$5"; exit 1; fi
fi
echo "swapped 0 ${ABSENT}"`;

/** The kernel gives the lock on the folder back when its holder dies, so no lock can go stale. */
const LOCKED = `umask 022
if [ ! -d "$1" ]; then mkdir -p -m 0777 -- "$1" || exit 1; chmod 0777 -- "$1"; fi
flock -w ${LOCK_WAIT_S} -E ${LOCK_TIMEOUT_EXIT} -- "$1" sh -c "$0" lease "$@"
code=$?
if [ $code = ${LOCK_TIMEOUT_EXIT} ]; then echo "somebody has held the lock on $1 for ${LOCK_WAIT_S} s" >&2; fi
exit $code`;

/** The file `name` in `folder` of the machine that the shell leads to. The folder is made when it is missing. */
export function leaseFile(shell: HostShell, folder: string, name: string): LeaseFile {
  const path = `${folder}/${name}`;
  const ask = async (expected: string, text: string): Promise<Answer> => {
    const temporary = `.${name}.${randomUUID()}`;
    const answer = await shell.run(['sh', '-c', LOCKED, SWAP, folder, name, expected, text, temporary]);
    if (answer.outcome === 'absent') throw unusable(path, 'the host has no sh or no flock (util-linux)');
    if (answer.outcome === 'unreadable') throw unusable(path, answer.because);
    const printed = Buffer.from(answer.bytes).toString();
    const parsed = parseAnswer(printed);
    if (parsed === undefined) throw unusable(path, `the host's shell answered '${printed.trim().slice(0, 80)}'`);
    return parsed;
  };
  return {
    path,
    look: async () => (await ask(LOOK, '')).found,
    swap: async (expected, text) => (await ask(expected?.sha256Hex ?? ABSENT, text ?? '')).outcome,
  };
}

interface Answer {
  readonly outcome: 'swapped' | 'changed';
  readonly found: FoundLease | undefined;
}

/** A login shell may print words of its own first. */
function parseAnswer(printed: string): Answer | undefined {
  const [, outcome, age, sha256Hex = '', text = ''] =
    /^(swapped|changed) (-?\d+) ([0-9a-f]{64}|absent)$\n?(.*)/ms.exec(printed) ?? [];
  if (outcome !== 'swapped' && outcome !== 'changed') return undefined;
  return { outcome, found: sha256Hex === ABSENT ? undefined : { ageS: Number(age), sha256Hex, text: text.trim() } };
}

function unusable(path: string, because: string): Error {
  return harnessError('HOST_LEASE_UNUSABLE', `cannot use the lease file ${path}: ${because}`, {
    hint: 'Name a folder on the host that this user may write with SEV_HARNESS_LEASES; all who share the host must name the same.',
  });
}
