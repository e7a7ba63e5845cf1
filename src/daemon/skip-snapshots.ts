// A table of which an event is left out is read again: its gap opens the snapshot, in the same Kafka transaction.
import type { CapturedEvent, CapturedTableEvent } from "../capture/sequencer.ts";
import { type EncodedEvent, encodeEvent } from "../sink/encode-event.ts";
import { type Skip, skippingEncoder } from "../sink/skip-events.ts";
import type { SnapshotBook } from "./snapshot-book.ts";
import { toBeRead } from "./table-snapshot.ts";

/** An event that is left out, and what becomes of its table. */
export interface PlannedSkip extends Skip {
  readonly table: string;
  /** Whether the table is read again; else why not. */
  readonly reread: boolean;
  readonly whyNot: string | null;
}

/** How events are encoded while these are left out; their snapshots are noted in the book. */
export function encoderWithout(
  skips: readonly PlannedSkip[],
  book: SnapshotBook,
): (event: CapturedEvent) => EncodedEvent {
  return skips.length === 0 ? encodeEvent : skippingEncoder(skips, snapshotsOfSkipped(book));
}

/** Notes the snapshots that gaps open; one that is under way for the table begins afresh. */
function snapshotsOfSkipped(book: SnapshotBook): (skip: PlannedSkip, event: CapturedTableEvent) => void {
  return ({ reread }, { table, sequence }) => {
    if (reread) {
      book.remove(table.encoder.schema.oid);
      book.add({ ...toBeRead(table), since: sequence });
    }
  };
}
