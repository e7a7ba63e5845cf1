// One run of the stream: all connections opened afresh in the order that makes exactly-once hold, then the pipeline,
// then everything closed again. Slot first, then the producer, then the position.
import type pg from "pg";
import type { Config } from "../config/config.ts";
import type { AfterimageError } from "../errors.ts";
import type { Lsn } from "../event/lsn.ts";
import type { Progress } from "../event/progress.ts";
import { failpoint } from "../failpoint.ts";
import type { Images } from "../images/images.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import { Absence, stalled, throughAbsence } from "../sink/absence.ts";
import { holdsProgress } from "../sink/progress-log.ts";
import { Feedback } from "../source/feedback.ts";
import { nudge } from "../source/nudge.ts";
import { closeSql, errorCode, isConnectionLoss } from "../source/session.ts";
import { SilenceWatch } from "../source/silence-watch.ts";
import { readSlotLag } from "../source/slot.ts";
import { checkStandby, demandStandby } from "../source/standby.ts";
import { readRetention, type WalRetention } from "../source/wal-retention.ts";
import { CatalogWatch, lookBefore } from "./catalog-watch.ts";
import { type Connections, SERVERS } from "./connections.ts";
import { openImagesOf } from "./imaged-tables.ts";
import { prepareEpoch } from "./new-epoch.ts";
import { type OpenProgress, openProgress } from "./open-progress.ts";
import { ensureSlot, streamLost } from "./open-slot.ts";
import { kafkaSettings } from "./preflight-kafka.ts";
import { type Asked, keep, type Lost, nothingLost, openSource } from "./resources.ts";
import { endWith } from "./shutdown-drain.ts";
import { encodingWithout } from "./skip-snapshots.ts";
import { cancelMaking, connectStandby, slotServer } from "./slot-server.ts";
import { readUnread } from "./snapshot-plan.ts";
import type { SnapshotRequests } from "./snapshot-requests.ts";
import { Snapshotter } from "./snapshotter.ts";
import type { DaemonStatus, SnapshotStatus } from "./status.ts";

export interface Lag {
  readonly insertLsn: Lsn;
  readonly retainedBytes: number;
}

/** What a session streams with, opened. */
interface SessionParts {
  readonly pipeline: Pipeline;
  readonly progress: OpenProgress;
  readonly feedback: Feedback;
  readonly sensor: pg.Client;
  /** Of the server that holds the slot: the same, or a standby's. */
  readonly holder: pg.Client;
  readonly slot: string;
  readonly absence: Absence;
  readonly snapshotter: Snapshotter;
  readonly images: Images | null;
  readonly reads: boolean;
  readonly watch: CatalogWatch;
}

export class StreamSession {
  readonly #resources: AsyncDisposableStack;
  readonly #parts: SessionParts;

  private constructor(resources: AsyncDisposableStack, parts: SessionParts) {
    this.#resources = resources;
    this.#parts = parts;
  }

  /** Throws with SQLSTATE 55006 when another daemon holds the slot; an abort of `signal` closes what is open. */
  static async open(
    config: Config,
    signal: AbortSignal,
    connections: Connections = SERVERS,
    asked: Asked = {},
  ): Promise<StreamSession> {
    signal.throwIfAborted();
    const resources = new AsyncDisposableStack();
    const lost = nothingLost();
    const abort = async () => {
      await cancelMaking(config.postgres, lost);
      await resources.disposeAsync();
    };
    const onAbort = () => void abort();
    signal.addEventListener("abort", onAbort);
    try {
      const session = await StreamSession.#open(config, resources, lost, signal, connections, asked);
      if (lost.error !== undefined) {
        throw lost.error;
      }
      return session;
    } catch (error) {
      lost.isOver = true;
      await resources.disposeAsync();
      // A query on a lost connection fails without a code; the loss itself has one.
      throw lost.error ?? error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  static async #open(
    config: Config,
    resources: AsyncDisposableStack,
    lost: Lost,
    signal: AbortSignal,
    connections: Connections,
    { wish = null, skips = [], reads = true, before = { unpublished: null } }: Asked,
  ): Promise<StreamSession> {
    const name = `afterimage ${config.stream}`;
    const onLost = (error: Error) => lost.onLost(error);
    const sensor = await connections.sql(config.postgres, name, onLost, signal);
    await keep(resources, () => closeSql(sensor));
    const catalog = await connections.sql(config.postgres, `${name} catalog`, onLost, signal);
    await keep(resources, () => closeSql(catalog));
    lost.catalog = catalog;
    const connection = await connections.kafka(kafkaSettings(config.kafka), signal);
    await keep(resources, () => connection.close());
    const standby = await connectStandby(config, connections, resources, lost, catalog, signal);
    failpoint("session.connected");

    const hasProgress = await holdsProgress(connection, config.stream);
    failpoint("session.progress-looked-for");
    if (wish !== null && !wish.done) {
      await prepareEpoch(catalog, connection, config, wish, standby);
    }
    while (!(await ensureSlot(catalog, config, hasProgress, standby))) {
      // Another daemon was making it: look again.
    }
    const { slot, publication, origin } = config.postgres;
    const target = { slot, publication, origin, streaming: config.spoolFolder !== null };
    const stream = await connections.replication(slotServer(config.postgres), target, `${name} replication`, signal);
    await keep(resources, () => stream.close());
    // From the start on: a stream that was lost while the rest was opened ends the attempt.
    let onStreamLost = (error: Error) => {
      if (!lost.isOver) onLost(error);
    };
    stream.lost.catch((error) => onStreamLost(streamLost(config.stream, error)));
    failpoint("session.slot-held");
    const feedback = new Feedback((update) => stream.sendStatusUpdate(update));
    await keep(resources, async () => feedback.stop());
    feedback.start();
    const silence = new SilenceWatch(stream, () => feedback.ask());
    await keep(resources, async () => silence.stop());
    silence.start(stream.silenceMs);

    const progress = await openProgress(config, catalog, connection, lost, wish, standby);
    await lookBefore(sensor, config, progress.server, before);
    const opened = await openImagesOf(config, catalog, connection, progress);
    await keep(resources, async () => opened?.[Symbol.dispose]());
    const images = opened?.images ?? null;
    const absence = new Absence();
    const source = openSource(stream, config, progress.server.systemId, (error) => pipeline.fail(error));
    await keep(resources, async () => source.close());
    const pipeline: Pipeline = new Pipeline({
      source,
      resume: { ...progress.publisher.progress, confirmedFlushLsn: progress.server.confirmedFlushLsn },
      snapshot: progress.snapshots,
      resolve: async (relation) => {
        if ((await readUnread(catalog, progress, config, [relation.oid])).length > 0) {
          // Its gap has to stand before this row, and only a start can put it there. The transaction is sent again.
          pipeline.stop();
          return new Promise<never>(() => undefined);
        }
        return progress.resolver.resolve(relation);
      },
      ...encodingWithout(skips, progress.snapshots),
      images,
      messages: progress.messages,
      publish: async (batch) => {
        if (standby !== null) await demandStandby(standby);
        const stored = await progress.publisher.publish(batch);
        absence.answered();
        progress.messages?.published(batch.events);
        images?.published(stored);
        return stored;
      },
      confirm: (endLsn) => feedback.confirm(endLsn),
      answer: () => feedback.send(),
      ...config.batch,
    });
    lost.onLost = (error) => endWith(pipeline, error);
    onStreamLost = (error) => pipeline.fail(error);
    const snapshotter = new Snapshotter({
      config,
      connect: connections.sql,
      book: progress.snapshots,
      publication: progress.server.publication,
      epoch: progress.publisher.progress.epoch,
      describe: (oid) => throughAbsence(() => progress.describe(oid), absence),
      place: (after, build) => pipeline.place(after, build),
      ask: () => feedback.ask(),
      nudge: () => nudge(catalog),
      onLost,
      fail: (error) => endWith(pipeline, error),
    });
    await keep(resources, () => snapshotter.close());
    const watch = new CatalogWatch(config, progress, pipeline, () => feedback.ask(), before);
    const holder = standby ?? sensor;
    const parts = { pipeline, progress, feedback, sensor, holder, slot, absence, snapshotter, images, reads, watch };
    return new StreamSession(resources, parts);
  }

  /** The progress record stored last. */
  get progress(): Progress {
    return this.#parts.progress.publisher.progress;
  }

  /** What the start found that stops nothing. */
  get notes(): readonly string[] {
    return this.#parts.progress.notes;
  }

  get tables(): { table: string; topic: string }[] {
    return this.#parts.progress.resolver.captured();
  }

  get messages(): DaemonStatus["messages"] {
    return this.#parts.progress.messages?.status ?? null;
  }

  get published(): Pipeline["published"] {
    return this.#parts.pipeline.published;
  }

  /** Commit time of the oldest transaction that was received and is not published yet. */
  get oldestPending(): string | null {
    return this.#parts.pipeline.oldestPending;
  }

  /**
   * Streams until `stop`, or until the publication has a new table to be read, for which a session is opened afresh; or
   * rejects with the first failure. Closes everything.
   */
  async run(): Promise<void> {
    try {
      failpoint("session.streaming");
      const running = this.#parts.pipeline.run();
      this.#parts.snapshotter.start(this.#parts.reads);
      await running;
      this.#parts.feedback.send();
    } finally {
      failpoint("session.closing");
      await this.#resources.disposeAsync();
      failpoint("session.closed");
    }
  }

  /** Tables whose snapshot is not over. */
  get snapshots(): SnapshotStatus[] {
    return this.#parts.snapshotter.status();
  }

  get snapshotRequests(): SnapshotRequests {
    return this.#parts.snapshotter.requests;
  }

  /** Ends at a batch boundary; `run` then resolves. */
  stop(): void {
    this.#parts.pipeline.stop();
  }

  /** Why nothing gets through to Kafka though the session lives on; null while it does. */
  get trouble(): AfterimageError | null {
    return this.#parts.absence.reason ?? stalled(this.#parts.pipeline.waitingMs);
  }

  readRetention(): Promise<WalRetention | null> {
    return readRetention(this.#parts.holder, this.#parts.slot, this.progress.stream);
  }

  /** Ends at once; what is not published is sent again next time, if the slot is kept. */
  fail(error: AfterimageError): void {
    this.#parts.pipeline.fail(error);
  }

  readLag(): Promise<Lag> {
    return readSlotLag(this.#parts.holder, this.#parts.slot);
  }

  /**
   * Halts the session when a topic was deleted, made anew or repartitioned, or a table was out of the publication.
   * Resolves with what an operator should know of the tables.
   */
  async verify(): Promise<readonly string[]> {
    const { sensor, holder } = this.#parts;
    try {
      await this.#parts.progress.topics.verifyUnchanged();
      this.#parts.absence.answered();
      if (holder !== sensor) await checkStandby(holder, sensor);
      const notes = await this.#parts.watch.look(sensor);
      failpoint("session.continuity-looked");
      const own = [...this.#parts.progress.publisher.notes, ...this.#parts.snapshotter.notes];
      return [...notes, ...own, ...(this.#parts.images?.notes(this.snapshots) ?? [])];
    } catch (error) {
      // A lost connection ends the session by itself, after what is to be done before; a Kafka that is away for a while
      // is waited for.
      if (!isConnectionLoss(errorCode(error) ?? "") && !this.#parts.absence.bears(error)) {
        this.#parts.pipeline.fail(error);
      }
      return [];
    }
  }
}
