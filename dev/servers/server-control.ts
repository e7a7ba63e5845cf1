// What a started server offers to those who want to break it: stop, kill and start again on the same address.

/**
 * How a server is stopped. `fast` is its orderly shutdown (Postgres SIGINT, Kafka SIGTERM); `immediate` is Postgres's
 * shutdown without a checkpoint, so that the next start recovers from the WAL (Kafka has no such mode: it is killed).
 */
export type StopMode = "fast" | "immediate";

export interface ServerControl {
  /** Ends the server and keeps its data; resolves when it is gone. */
  stop(mode?: StopMode): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same address with the same data; resolves when it answers. */
  start(): Promise<void>;
  restart(options?: { mode?: StopMode }): Promise<void>;
}

export interface StartedServer extends ServerControl {
  /** `postgres://…` of the superuser, or `host:port` of the broker. */
  readonly address: string;
  /** Ends the server and removes its data. */
  remove(): Promise<void>;
}

/** A server whose processes can be stopped in the middle of whatever they do. */
export interface FreezableServer extends StartedServer {
  /** SIGSTOP to all its processes. */
  freeze(): void;
  /** SIGCONT. */
  thaw(): void;
}
