// A captured event → its record: with what is known of the row before it, noted for snapshots; or the gap in its place.
import type { CapturedEvent } from "../capture/captured-event.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import type { PipelineParts, SnapshotSide } from "./parts.ts";

/** Throws what `encode` throws. */
export function encodeCaptured(
  captured: CapturedEvent,
  { images, encode, leaveOut }: Pick<PipelineParts, "images" | "encode" | "leaveOut">,
  snapshot: SnapshotSide,
): EncodedEvent {
  const gap = leaveOut?.(captured) ?? null;
  if (gap !== null) {
    // As a reader of the topic has it: not the row that is left out, and none from before it.
    images?.placed([gap]);
    return gap;
  }
  const event = images?.complete(captured) ?? captured;
  snapshot.note(event);
  return encode(event);
}
