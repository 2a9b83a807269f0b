import type { Arguments, FlagGroup } from './flags.ts';

export const CHAIN_FLAGS: FlagGroup = {
  title: 'Platform certificates (binary, or base64 as libvirt gives it)',
  flags: [
    { name: 'chain', value: 'FILE', help: "PEK, OCA and CEK: libvirt's cert-chain; or a whole sevctl export" },
    { name: 'pdh', value: 'FILE', help: "the platform's Diffie-Hellman key" },
    { name: 'ask-ark', value: 'FILE', help: "AMD's ASK and ARK in one file, as AMD publishes them" },
    { name: 'pek', value: 'FILE', help: 'platform endorsement key' },
    { name: 'oca', value: 'FILE', help: "platform owner's key" },
    { name: 'cek', value: 'FILE', help: 'chip endorsement key signed by AMD; completes an exported chain' },
    { name: 'ask', value: 'FILE', help: "AMD's SEV signing key" },
    { name: 'ark', value: 'FILE', help: "AMD's root key" },
    {
      name: 'product',
      value: 'NAME',
      help: 'refuse the root of any other product; takes ASK and ARK from fetch-roots',
    },
    {
      name: 'chip-id',
      value: 'ID',
      help: 'GET_ID of the platform, in hex or base64, so that hints name the address of its CEK',
    },
    { name: 'trusted-root', value: 'FILE', help: "trust this ARK although it is not AMD's (emulated platforms)" },
  ],
};

/** Whether a chain is to be verified at all. */
export function hasChainFlags(args: Arguments): boolean {
  return CHAIN_FLAGS.flags.some(({ name }) => args.has(name));
}
