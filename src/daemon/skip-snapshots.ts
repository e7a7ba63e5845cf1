// A table of which an event is left out is read again: its gap opens the snapshot, in the same Kafka transaction.
import type { CapturedEvent, CapturedTableEvent } from "../capture/captured-event.ts";
import { type EncodedEvent, encodeEvent } from "../sink/encode-event.ts";
import type { PoisonOf } from "../sink/poison.ts";
import { type Skip, skippingEncoder } from "../sink/skip-events.ts";
import type { SnapshotBook } from "./snapshot-book.ts";
import { toBeRead } from "./table-snapshot.ts";

/** An event that is left out, and what becomes of its table. */
export interface PlannedSkip extends Skip {
  readonly of: PoisonOf;
  /** Whether the table is read again; else why not. */
  readonly reread: boolean;
  readonly whyNot: string | null;
}

interface Encoding {
  readonly encode: (event: CapturedEvent) => EncodedEvent;
  readonly leaveOut?: (event: CapturedEvent) => EncodedEvent | null;
}

/** How events are encoded while these are left out; their snapshots are noted in the book. */
export function encodingWithout(skips: readonly PlannedSkip[], book: SnapshotBook): Encoding {
  return skips.length === 0 ? { encode: encodeEvent } : skippingEncoder(skips, snapshotsOfSkipped(book));
}

/** Notes the snapshots that gaps open; one that is under way for the table begins afresh. */
function snapshotsOfSkipped(book: SnapshotBook): (skip: PlannedSkip, event: CapturedTableEvent) => void {
  return ({ reread }, event) => {
    const { table, sequence } = event;
    if (event.undecodable === undefined) {
      book.note(event);
    } else {
      book.announced(table); // its key may be one that no query can name
    }
    if (reread) {
      book.remove(table.encoder.schema.oid);
      book.add({ ...toBeRead(table), since: sequence });
    }
  };
}
