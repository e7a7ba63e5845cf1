// Events and positions for the tests of the pipeline's parts.
import type { EnvelopeTransaction } from "../../../src/event/envelope.ts";
import type { LastTransaction } from "../../../src/event/progress.ts";
import type { BatchAssembler, SizedBatch } from "../../../src/pipeline/batch.ts";
import type { EncodedEvent } from "../../../src/sink/encode-event.ts";
import type { PublishableBatch } from "../../../src/sink/publisher.ts";
import { lsn, rowEncoder } from "../event/tables.ts";

const encoder = rowEncoder([["id", "int4"]]);

/** Nothing is published; the slot stands at 100. */
export const START = { completeSequence: 0, endLsn: lsn(100), last: null };

export function encodedEvent(sequence: number, bytes = 1): EncodedEvent {
  return { encoder, topic: "t", partition: 0, copies: 1, key: null, value: String(sequence), sequence, bytes };
}

export function sourceTransaction(commitLsn: number): EnvelopeTransaction {
  return { id: String(commitLsn), epoch: 1, commitLsn: lsn(commitLsn), timestamp: `time ${commitLsn}` };
}

export function lastOf(commitLsn: number, index: number, complete: boolean): LastTransaction {
  return { commitLsn: lsn(commitLsn), xid: String(commitLsn), timestamp: `time ${commitLsn}`, index, complete };
}

/** What takes events and commits: the assembler, or the loop around it. */
type Taker = Pick<BatchAssembler, "add" | "committed">;

/** Adds a transaction's events, one per entry of `sizes`, and commits it unless `open`. Its end is its LSN + 10. */
export function feed(taker: Taker, commitLsn: number, from: number, sizes: readonly number[], open = false): void {
  sizes.forEach((bytes, place) => {
    const last = !open && place === sizes.length - 1;
    const transaction = sourceTransaction(commitLsn);
    taker.add(encodedEvent(from + place, bytes), { transaction, index: place + 1, message: place + 1, rest: 0, last });
  });
  if (!open) {
    taker.committed(lastOf(commitLsn, sizes.length, true), lsn(commitLsn + 10));
  }
}

/** `#1 #2 → 120 (2), last 110.2`: events, endLsn, completeSequence, the transaction published last; `…` when incomplete. */
export function describeBatch(batch: PublishableBatch | SizedBatch | null): string | null {
  if (batch === null) {
    return null;
  }
  const { events, endLsn, completeSequence, last } = batch;
  const transaction = last === null ? "none" : `${last.xid}.${last.index}${last.complete ? "" : "…"}`;
  return `${events.map(({ sequence }) => `#${sequence} `).join("")}→ ${endLsn} (${completeSequence}), last ${transaction}`;
}
