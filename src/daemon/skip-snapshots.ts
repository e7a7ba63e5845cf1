// A table of which an event is left out is read again: its gap opens the snapshot, in the same Kafka transaction.
import type { CapturedEvent } from "../capture/sequencer.ts";
import type { Skip } from "../sink/skip-events.ts";
import { type SnapshotBook, toBeRead } from "./snapshot-book.ts";

/** An event that is left out, and what becomes of its table. */
export interface PlannedSkip extends Skip {
  readonly table: string;
  /** Whether the table is read again; else why not. */
  readonly reread: boolean;
  readonly whyNot: string | null;
}

/** Notes the snapshots that gaps open; one that is under way for the table begins afresh. */
export function snapshotsOfSkipped(book: SnapshotBook): (skip: PlannedSkip, event: CapturedEvent) => void {
  return ({ reread }, { table, sequence }) => {
    if (reread) {
      book.remove(table.encoder.schema.oid);
      book.add({ ...toBeRead(table), since: sequence });
    }
  };
}
