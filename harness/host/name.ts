import { harnessError } from '../errors.ts';
import { isProfileName, type ProfileName, profiles } from '../fakelibvirt/index.ts';
import { parseLibvirtUri } from '../libvirt/index.ts';

export type HostName =
  | { readonly kind: 'emulated'; readonly text: string; readonly profile: ProfileName }
  | { readonly kind: 'libvirt'; readonly text: string };

/** `fake:<profile>` or a libvirt URI that the client supports. Throws `HOST_FORM` and `LIBVIRT_URI`. */
export function parseHostName(text: string): HostName {
  if (text.startsWith('fake:')) {
    const profile = text.slice('fake:'.length);
    if (isProfileName(profile)) return { kind: 'emulated', text, profile };
    throw harnessError('HOST_FORM', `unknown emulated host '${text}'`, {
      hint: `Use one of: ${Object.keys(profiles)
        .map((name) => `fake:${name}`)
        .join(', ')}.`,
    });
  }
  if (/^[a-z][a-z0-9+]*:\/\//.test(text)) {
    parseLibvirtUri(text);
    return { kind: 'libvirt', text };
  }
  throw harnessError('HOST_FORM', `'${text}' is not a host`, {
    hint: 'Give fake:<profile> (e.g. fake:naples) or a libvirt URI (e.g. qemu:///system, qemu+ssh://user@host/system).',
  });
}
