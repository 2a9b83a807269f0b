import { harnessError } from '../errors.ts';
import { isProfileName, type ProfileName, profiles } from '../fakelibvirt/index.ts';

export type HostName =
  | { readonly kind: 'emulated'; readonly text: string; readonly profile: ProfileName }
  | { readonly kind: 'libvirt'; readonly text: string };

/** `fake:<profile>` or a libvirt URI. Throws `HOST_FORM`; whether the client supports the URI is for `connect` to say. */
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
  if (/^[a-z][a-z0-9+]*:\/\//.test(text)) return { kind: 'libvirt', text };
  throw harnessError('HOST_FORM', `'${text}' is not a host`, {
    hint: 'Give fake:<profile> (e.g. fake:naples) or a libvirt URI (e.g. qemu:///system, qemu+ssh://user@host/system).',
  });
}
