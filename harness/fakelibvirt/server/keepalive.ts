/** libvirtd's defaults: keepalive_interval and keepalive_count (libvirtd.conf). */
const INTERVAL_MS = 5000;
const COUNT = 5;

/** Asks a silent client whether it is there, once it has said that it understands the question. */
export class Keepalive {
  readonly #ping: () => void;
  readonly #onDead: () => void;
  #timer: NodeJS.Timeout | undefined;
  #unanswered = 0;

  constructor(ping: () => void, onDead: () => void) {
    this.#ping = ping;
    this.#onDead = onDead;
  }

  start(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#tick(), INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Anything from the client counts as an answer. */
  heard(): void {
    this.#unanswered = 0;
    this.#timer?.refresh();
  }

  #tick(): void {
    if (this.#unanswered >= COUNT) {
      this.stop();
      this.#onDead();
      return;
    }
    this.#unanswered++;
    this.#ping();
  }
}
