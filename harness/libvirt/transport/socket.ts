import type { Socket } from 'node:net';

/** Waits until `socket` has emitted `event`; rejects with the socket's error or the signal's reason, and destroys it then. */
export function openSocket<S extends Socket>(
  socket: S,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
): Promise<S> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      socket.off(event, onOpen);
      socket.off('error', onError);
      signal.removeEventListener('abort', onAbort);
    };
    const onOpen = () => {
      settle();
      resolve(socket);
    };
    const onError = (error: unknown) => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onAbort = () => onError(signal.reason);
    socket.once(event, onOpen);
    socket.once('error', onError);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
