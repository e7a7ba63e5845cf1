// A table as the capture knows it: its current schema, its writer, and where its events go.
import type { RowEncoder } from "../event/row-encoder.ts";

export interface CapturedTable {
  readonly encoder: RowEncoder;
  readonly topic: string;
  readonly partitions: number;
}

/** Where messages go, and which: those with other prefixes are counted, never published. */
export interface MessageRoute {
  readonly topic: string;
  readonly partitions: number;
  wants(prefix: string): boolean;
  /** One that is not transactional has no place in the stream. */
  placeless(prefix: string): void;
}

/** A table of the publication that the configuration leaves out: its events are counted, never published. */
export interface ExcludedTable {
  readonly encoder: RowEncoder;
  readonly topic: null;
}
