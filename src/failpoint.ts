// Names every step between socket and confirmation, so that a process can be ended at each of them. A step says its
// name and nothing more: what happens there is decided by a module that was loaded before, and by default nothing does.

/** `module.step`; each stands at one place in the code, or at two that are the same step. */
export const FAILPOINTS = [
  // The daemon's life.
  "daemon.preflight-over",
  "daemon.standby-entered",
  "daemon.standby-over",
  "daemon.backing-off",
  // A start, in its order.
  "session.connected",
  "session.progress-looked-for",
  "publication.before-commit",
  "publication.made",
  "slot.made",
  "session.slot-held",
  "topics.created",
  "progress.topics-made",
  "producer.initialised",
  "progress.read",
  "progress.checked",
  "publication.tables-added",
  "progress.first-stored",
  "progress.schemas-stored",
  "session.streaming",
  // What Postgres sends.
  "pipeline.frame-received",
  "pipeline.keepalive-received",
  "pipeline.relation-missing",
  "pipeline.relation-resolved",
  "pipeline.begin",
  "pipeline.row",
  "pipeline.truncate",
  "pipeline.message",
  "pipeline.commit",
  "pipeline.position-found",
  "pipeline.budget-full",
  "pipeline.budget-free",
  // Rows of before.
  "images.caught-up-in-part",
  "images.caught-up",
  "images.before-store",
  "images.stored",
  // A snapshot.
  "snapshot.requested",
  "snapshot.change-passed",
  "snapshot.chunk-not-counted",
  "snapshot.chunk-read",
  "snapshot.chunk-placed",
  "snapshot.chunk-stored",
  // What Kafka gets.
  "batch.sealed-whole",
  "batch.sealed-piece",
  "batch.idle",
  "publisher.before-begin",
  "publisher.partitions-added",
  "appender.before-produce",
  "appender.produced",
  "publisher.events-produced",
  "publisher.progress-produced",
  "producer.before-end",
  "publisher.committed",
  "publisher.refused",
  "publisher.ambiguous",
  "publisher.reinitialised",
  "publisher.read-back",
  "publish-loop.published",
  // What Postgres is told.
  "feedback.confirmed",
  "feedback.before-send",
  "feedback.sent",
  // The end of a run, and looks in between.
  "session.continuity-looked",
  "publish-loop.drain-begun",
  "publish-loop.drain-over",
  "session.closing",
  "session.closed",
  // Removing a stream.
  "drop.begun",
  "drop.slot-dropped",
  "drop.publication-dropped",
  "drop.topic-deleted",
  // A view.
  "store.setup-made",
  "store.tokens-raised",
  "store.checkpoints-made",
  "consumer.positions-read",
  "consumer.fetched",
  "applier.before-handler",
  "applier.handled",
  "applier.partition-held",
  "applier.joint-step-handled",
  "store.before-checkpoints",
  "store.checkpoints-written",
  "store.committed",
  "consumer.stopping",
  "consumer.stopped",
] as const;

export type Failpoint = (typeof FAILPOINTS)[number];

const hook: unknown = Reflect.get(globalThis, Symbol.for("afterimage.failpoint"));

/** Says which step was reached. */
export const failpoint: (name: Failpoint) => void =
  typeof hook === "function" ? (hook as (name: Failpoint) => void) : () => undefined;
