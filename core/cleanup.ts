export interface CleanupFailure {
  readonly what: string;
  readonly error: unknown;
}

/**
 * What has to be undone, newest first.
 *
 * `run` survives errors: every step is tried, and all failures are returned, the first one first.
 */
export class CleanupStack {
  readonly #steps: { what: string; undo: () => Promise<void> | void }[] = [];

  get size(): number {
    return this.#steps.length;
  }

  /** `what` completes the sentence "could not …" in the report. Returns a function that forgets the step. */
  push(what: string, undo: () => Promise<void> | void): () => void {
    const step = { what, undo };
    this.#steps.push(step);
    return () => {
      const index = this.#steps.indexOf(step);
      if (index >= 0) this.#steps.splice(index, 1);
    };
  }

  /** What is still to be undone, newest first. */
  pending(): string[] {
    return this.#steps.map((step) => step.what).reverse();
  }

  async run(): Promise<CleanupFailure[]> {
    const failures: CleanupFailure[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        failures.push({ what: step.what, error });
      }
    }
    return failures;
  }
}
