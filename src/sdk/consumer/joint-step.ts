// Finds what several partitions of a topic must do together: a barrier, or a key change with unchanged columns.
import { AfterimageError } from "../../errors.ts";
import type { BarrierEvent, DeleteEvent, InsertEvent } from "../../event/change-event.ts";
import { isBarrier } from "../../event/change-event.ts";
import { isMoveIn, isMoveOut, type PartitionQueue } from "./partition-queue.ts";

export type JointStep =
  | { readonly kind: "barrier"; readonly event: BarrierEvent; readonly queues: readonly PartitionQueue[] }
  | {
      readonly kind: "move";
      readonly out: DeleteEvent;
      readonly from: PartitionQueue;
      readonly into: InsertEvent;
      /** The same queue as `from` when both keys fall into one partition. */
      readonly to: PartitionQueue;
    };

/**
 * The next joint step that is complete, or null while a partition is still on its way.
 * `queues` are all partitions of one topic, drained as far as each can go alone.
 */
export function nextJointStep(queues: readonly PartitionQueue[]): JointStep | null {
  return nextMove(queues) ?? nextBarrier(queues);
}

function nextMove(queues: readonly PartitionQueue[]): JointStep | null {
  for (const from of queues) {
    const out = from.head()?.event;
    if (out?.operation !== "delete" || !isMoveOut(out)) {
      continue;
    }
    for (const to of queues) {
      const into = to === from ? from.second() : to.head()?.event;
      if (into?.operation === "insert" && isMoveIn(into) && into.sequence === out.sequence + 1) {
        return { kind: "move", out, from, into, to };
      }
    }
  }
  return null;
}

function nextBarrier(queues: readonly PartitionQueue[]): JointStep | null {
  const heads = queues.map((queue) => queue.head()?.event);
  const [first] = heads;
  if (first === undefined || !heads.every((head) => head !== undefined && isBarrier(head))) {
    return null;
  }
  const event = first as BarrierEvent;
  if (event.copies !== queues.length || heads.some((head) => head!.sequence !== event.sequence)) {
    throw new AfterimageError(
      "BARRIER_INCOMPLETE",
      `The ${event.operation} of ${event.table} at sequence ${event.sequence} has ${event.copies} copies, and ${queues.length} partitions of ${queues[0]!.topic} do not all hold it.`,
      "The topic was repartitioned or written by another program. Rebuild the stream: afterimage drop STREAM --topics.",
    );
  }
  return { kind: "barrier", event, queues };
}
