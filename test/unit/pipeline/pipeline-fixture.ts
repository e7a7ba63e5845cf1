// A pipeline whose socket, catalogue and log are memory: our own interfaces, driven by hand with pgoutput's own bytes.
import { vi } from "vitest";
import type { Resolution } from "../../../src/capture/relation-cache.ts";
import type { ResumePoint } from "../../../src/capture/sequencer.ts";
import type { Progress } from "../../../src/event/progress.ts";
import { RowEncoder } from "../../../src/event/row-encoder.ts";
import type { PgoutputMessage, Relation } from "../../../src/pgoutput/messages.ts";
import { Pipeline } from "../../../src/pipeline/pipeline.ts";
import { encodeEvent } from "../../../src/sink/encode-event.ts";
import type { PublishableBatch } from "../../../src/sink/publisher.ts";
import type { FrameHandler } from "../../../src/source/replication-stream.ts";
import { lsn, tableSchema } from "../event/tables.ts";
import { encodeMessage } from "../pgoutput/messages.ts";
import { describeBatch } from "./events.ts";

type Resume = Omit<ResumePoint, "confirmedFlushLsn">;

const FRESH: Resume = { epoch: 1, sequence: 0, completeSequence: 0, endLsn: lsn(100), last: null };

/** One event was published: that of the transaction of this fixture at `commitLsn`. */
export function lastPublished(commitLsn: number, endLsn: number): Resume {
  const last = { commitLsn: lsn(commitLsn), xid: String(commitLsn), timestamp: TIMESTAMP, index: 1, complete: true };
  return { epoch: 1, sequence: 1, completeSequence: 1, endLsn: lsn(endLsn), last };
}

const TIME = 0n;
const TIMESTAMP = "2000-01-01T00:00:00.000000Z";

interface Options {
  readonly resume?: Resume;
  readonly confirmedFlushLsn?: number;
  readonly maxBytes?: number;
  /** Look-ups wait for `lookedUp`. */
  readonly slowCatalogue?: boolean;
}

class Source {
  handler: FrameHandler | null = null;
  paused = true;

  consume(handler: FrameHandler): void {
    this.handler = handler;
    this.paused = false;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }
}

export class Fixture {
  readonly source = new Source();
  readonly published: (string | null)[] = [];
  /** Schema ids of the published events. */
  readonly schemas: number[] = [];
  readonly confirmed: bigint[] = [];
  /** Names of the relations that were looked up. */
  readonly resolved: string[] = [];
  answered = 0;
  /** How `run` ended; null while it runs. */
  ended: { error: unknown } | null = null;
  readonly pipeline: Pipeline;
  readonly #lookUps: { answer: () => void; fail: (error: unknown) => void }[] = [];
  #inFlight: { batch: PublishableBatch; settled: PromiseWithResolvers<Progress> } | null = null;
  #at = 0;

  constructor({ resume = FRESH, confirmedFlushLsn = 100, maxBytes = 1024 ** 2, slowCatalogue = false }: Options = {}) {
    this.pipeline = new Pipeline({
      source: this.source,
      resume: { ...resume, confirmedFlushLsn: lsn(confirmedFlushLsn) },
      resolve: (relation) => (slowCatalogue ? this.#lookUp(relation) : Promise.resolve(this.#resolution(relation))),
      encode: encodeEvent,
      publish: (batch) => this.#publish(batch),
      confirm: (endLsn) => void this.confirmed.push(endLsn),
      answer: () => {
        this.answered++;
      },
      maxBytes,
      lingerMs: 20,
    });
    this.pipeline.run().then(
      () => {
        this.ended = { error: null };
      },
      (error) => {
        this.ended = { error };
      },
    );
  }

  frame(bytes: Buffer): this {
    this.source.handler!.wal(bytes);
    // As the driver does once the call has returned.
    bytes.fill(0);
    return this;
  }

  /** Transaction `commitLsn`, of the xid of the same number; its end is its LSN + 10. */
  begin(commitLsn: number): this {
    this.#at = commitLsn;
    return this.#send({ kind: "begin", commitLsn: lsn(commitLsn), commitTime: TIME, xid: commitLsn });
  }

  commit(): this {
    return this.#send({ kind: "commit", commitLsn: lsn(this.#at), endLsn: lsn(this.#at + 10), commitTime: TIME });
  }

  relation(oid = 1, table = "t"): this {
    const columns = [{ name: "id", typeOid: 23, typmod: -1, identity: true }];
    return this.#send({ kind: "relation", oid, schema: "public", table, identity: "d", columns });
  }

  insert(id: number): this {
    return this.#send({ kind: "insert", relation: 1, new: [String(id)] });
  }

  truncate(...relations: number[]): this {
    return this.#send({ kind: "truncate", relations, cascade: false, restartIdentity: false });
  }

  keepalive(walEnd: number, replyRequested = false): this {
    this.source.handler!.keepalive(lsn(walEnd), replyRequested);
    return this;
  }

  /** The catalogue answers the oldest look-up, or fails it. */
  async lookedUp(error?: unknown): Promise<void> {
    const { answer, fail } = this.#lookUps.shift()!;
    error === undefined ? answer() : fail(error);
    await vi.advanceTimersByTimeAsync(0);
  }

  /** Kafka has committed the batch in flight. */
  async resolve(): Promise<void> {
    const { batch, settled } = this.#inFlight!;
    this.#inFlight = null;
    settled.resolve({ endLsn: batch.endLsn, sequence: batch.events.at(-1)?.sequence ?? 0 } as Progress);
    await vi.advanceTimersByTimeAsync(0);
  }

  async reject(error: unknown): Promise<void> {
    const { settled } = this.#inFlight!;
    this.#inFlight = null;
    settled.reject(error);
    await vi.advanceTimersByTimeAsync(0);
  }

  #send(message: PgoutputMessage): this {
    return this.frame(encodeMessage(message));
  }

  #publish(batch: PublishableBatch): Promise<Progress> {
    if (this.#inFlight !== null) {
      throw new Error("Two batches are published at once.");
    }
    this.published.push(describeBatch(batch));
    this.schemas.push(...batch.events.flatMap(({ encoder }) => (encoder === null ? [] : [encoder.schema.schema])));
    const settled = Promise.withResolvers<Progress>();
    this.#inFlight = { batch, settled };
    return settled.promise;
  }

  #lookUp(relation: Relation): Promise<Resolution> {
    return new Promise((resolve, fail) => {
      this.#lookUps.push({ answer: () => resolve(this.#resolution(relation)), fail });
    });
  }

  #resolution({ oid, table }: Relation): Resolution {
    this.resolved.push(table);
    const schema = tableSchema([["id", "int4"]], { oid, table, id: this.resolved.length });
    return { encoder: new RowEncoder(schema), topic: table, partitions: 4 };
  }
}
