// What the pipeline is made of: the socket, the catalogue, Kafka, and whoever reads tables beside the stream.

import type { CapturedEvent } from "../capture/captured-event.ts";
import type { CapturedTable, MessageRoute } from "../capture/captured-table.ts";
import type { Resolution } from "../capture/relation-cache.ts";
import type { ResumePoint } from "../capture/sequencer.ts";
import type { Lsn } from "../event/lsn.ts";
import type { Progress } from "../event/progress.ts";
import type { SnapshotState } from "../event/snapshot-state.ts";
import type { Relation } from "../pgoutput/messages.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import type { PublishableBatch } from "../sink/publisher.ts";
import type { FrameHandler } from "../source/replication-stream.ts";

/** The socket, as the loop sees it. */
export interface FrameSource {
  consume(handler: FrameHandler): void;
  pause(): void;
  resume(): void;
}

/** Whoever reads tables beside the stream. */
export interface SnapshotSide {
  /** What the progress record says of snapshots after the event that was noted last; another object when it changed. */
  readonly state: SnapshotState;
  /** Rows of the table follow that are as this says: told before the first event of a transaction. */
  announced(table: CapturedTable): void;
  /** Every event of the stream, before it is published. */
  note(event: CapturedEvent): void;
}

/** Whoever knows the rows of before. */
export interface ImageSide {
  /** The event with what is known of the row before it; called for every event, in order. */
  complete(event: CapturedEvent): CapturedEvent;
  /** Events of the daemon's own that stand here. */
  placed(events: readonly EncodedEvent[]): void;
}

export interface PipelineParts {
  readonly source: FrameSource;
  readonly resume: ResumePoint;
  /** Absent where no snapshot is ever taken. */
  readonly snapshot?: SnapshotSide;
  /** Absent where no table's images are completed. */
  readonly images?: ImageSide | null;
  /** Absent where messages are counted alone. */
  readonly messages?: MessageRoute | null;
  /** Looks a relation up in the catalogue, makes its topic and numbers its schema. */
  readonly resolve: (relation: Relation) => Promise<Resolution>;
  readonly encode: (event: CapturedEvent) => EncodedEvent;
  /** The gap in the place of an event that is left out; null for all others. */
  readonly leaveOut?: (event: CapturedEvent) => EncodedEvent | null;
  /** Commits a batch in Kafka; resolves once it is durable. */
  readonly publish: (batch: PublishableBatch) => Promise<Progress>;
  /** Tells Postgres that everything up to here is safe. */
  readonly confirm: (endLsn: Lsn) => void;
  /** A keepalive asked for an answer. */
  readonly answer: () => void;
  readonly maxBytes: number;
  readonly lingerMs: number;
}

/** Without snapshots. */
export const NO_SNAPSHOT: SnapshotSide = { state: [], announced: () => undefined, note: () => undefined };
