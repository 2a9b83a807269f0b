/** What can be wrong with the memory of an emulated host: each id, and what it breaks. */
export const MEMORY_FAULTS = {
  'memory-in-clear': 'the memory controller stores private pages without encrypting them',
  'memory-without-tweak': 'the address does not enter the encryption: equal blocks have equal ciphertext everywhere',
  'memory-key-shared': 'every ASID encrypts with the key that was installed first',
  'memory-key-survives':
    'the key of a freed ASID stays in the memory controller, and its memory is handed on decrypted instead of cleared',
  'memory-masked': 'private pages are masked with one byte instead of encrypted',
  'freed-memory-survives': 'the memory of a guest that has ended is handed on without being cleared',
  'shared-page-encrypted': 'pages that the guest shares with the host are encrypted all the same',
} as const satisfies Readonly<Record<string, string>>;

export type MemoryFaultId = keyof typeof MEMORY_FAULTS;

export type MemoryFaults = Pick<ReadonlySet<MemoryFaultId>, 'has'>;
