export interface KeepaliveSettings {
  /** How long the peer may be silent before it is asked. */
  readonly intervalMs: number;
  /** How many unanswered questions in a row mean that it is gone. */
  readonly count: number;
}

/** Asks a silent peer whether it lives, and gives it up after `count` questions; anything it sends is an answer. */
export class Keepalive {
  readonly #timer: NodeJS.Timeout;
  #asked = 0;
  #heard = false;

  constructor(settings: KeepaliveSettings, actions: { ping: () => void; dead: (silentMs: number) => void }) {
    this.#timer = setInterval(() => {
      if (this.#heard) {
        this.#heard = false;
        return;
      }
      if (this.#asked >= settings.count) {
        this.stop();
        actions.dead((this.#asked + 1) * settings.intervalMs);
        return;
      }
      this.#asked++;
      actions.ping();
    }, settings.intervalMs);
    this.#timer.unref();
  }

  alive(): void {
    this.#heard = true;
    this.#asked = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
