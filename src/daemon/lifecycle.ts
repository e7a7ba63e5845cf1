// The daemon's states and which may follow which: one table, one `transitionTo`.
import type { State } from "./status.ts";

const NEXT: Readonly<Record<State, readonly State[]>> = {
  starting: ["preflight", "draining"],
  preflight: ["standby", "snapshotting", "streaming", "backing-off", "draining"],
  standby: ["preflight", "snapshotting", "streaming", "backing-off", "draining"],
  snapshotting: ["preflight", "streaming", "backing-off", "draining"],
  streaming: ["preflight", "snapshotting", "backing-off", "draining"],
  "backing-off": ["preflight", "snapshotting", "streaming", "draining"],
  draining: ["stopped"],
  stopped: [],
  halted: [],
};

export class Lifecycle {
  readonly #onChange: (state: State) => void;
  #state: State = "starting";
  #since = new Date();

  constructor(onChange: (state: State) => void) {
    this.#onChange = onChange;
  }

  get state(): State {
    return this.#state;
  }

  get since(): string {
    return this.#since.toISOString();
  }

  /** Any state may be followed by `halted`. Throws TypeError for a step the table does not have. */
  transitionTo(next: State): void {
    if (next === this.#state) {
      return;
    }
    if (next !== "halted" && !NEXT[this.#state].includes(next)) {
      throw new TypeError(`The daemon can't go from ${this.#state} to ${next}.`);
    }
    this.#state = next;
    this.#since = new Date();
    this.#onChange(next);
  }
}

/** As the log says it. */
export const DESCRIBED: Readonly<Record<State, string>> = {
  starting: "starting",
  preflight: "checking Postgres and Kafka",
  standby: "standby: another daemon holds the slot; taking over when it is free",
  snapshotting: "streaming, and reading tables beside it",
  streaming: "streaming",
  "backing-off": "backing off",
  draining: "draining to a batch boundary",
  stopped: "stopped",
  halted: "halted",
};

export const streamingState = (snapshots: readonly unknown[]): State =>
  snapshots.length > 0 ? "snapshotting" : "streaming";
