// A table as the capture knows it: its current schema, its writer, and where its events go.
import type { RowEncoder } from "../event/row-encoder.ts";

export interface CapturedTable {
  readonly encoder: RowEncoder;
  readonly topic: string;
  readonly partitions: number;
}

/** A table of the publication that the configuration leaves out: its events are counted, never published. */
export interface ExcludedTable {
  readonly encoder: RowEncoder;
  readonly topic: null;
}
