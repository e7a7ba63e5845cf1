// A sequencer with two captured tables and an excluded one, fed by hand, and what came out of it.
import type { CapturedEvent } from "../../../src/capture/captured-event.ts";
import type { Resolution } from "../../../src/capture/relation-cache.ts";
import { RelationCache } from "../../../src/capture/relation-cache.ts";
import { type ResumePoint, Sequencer, type SequencerOutput } from "../../../src/capture/sequencer.ts";
import type { LastTransaction } from "../../../src/event/progress.ts";
import type { Commit, Tuple } from "../../../src/pgoutput/messages.ts";
import { lsn, rowEncoder } from "../event/tables.ts";

/** OIDs of the relations. */
export const A = 1;
export const B = 2;
export const EXCLUDED = 3;

const COLUMNS = [
  ["id", "int4"],
  ["name", "text"],
] as const;

const TABLES: readonly (readonly [number, string, string | null])[] = [
  [A, "a", "s.public.a"],
  [B, "b", "s.public.b"],
  [EXCLUDED, "x", null],
];

/** Commit time of transaction `xid`: one second each, from 2000-01-01. */
export const timeOf = (xid: number): bigint => BigInt(xid) * 1_000_000n;
export const timestampOf = (xid: number): string =>
  new Date(946_684_800_000 + xid * 1_000).toISOString().replace("Z", "000Z");

export const FRESH: ResumePoint = {
  epoch: 1,
  sequence: 0,
  completeSequence: 0,
  endLsn: lsn(100),
  last: null,
  confirmedFlushLsn: lsn(100),
};

export function lastOf(xid: number, commitLsn: number, index: number, complete: boolean): LastTransaction {
  return { commitLsn: lsn(commitLsn), xid: String(xid), timestamp: timestampOf(xid), index, complete };
}

export class Story {
  /** `insert a 7 #1 @100.1`, with `!` on the last; `commit`, `advance` with their LSN. */
  readonly told: string[] = [];
  readonly events: CapturedEvent[] = [];
  readonly commits: { last: LastTransaction; endLsn: bigint }[] = [];
  /** Prefixes of messages that are not transactional. */
  readonly placeless: string[] = [];
  readonly sequencer: Sequencer;
  #commit: Commit | null = null;

  /** `wanted`: the prefix of messages that are kept. */
  constructor(from: Partial<ResumePoint> = {}, wanted: string | null = null) {
    const relations = new RelationCache();
    for (const [oid, table, topic] of TABLES) {
      relations.announce({ kind: "relation", oid, schema: "public", table, identity: "d", columns: [] });
      const encoder = rowEncoder(COLUMNS, { table, oid });
      const resolution: Resolution = topic === null ? { encoder, topic } : { encoder, topic, partitions: 4 };
      relations.resolve(oid, resolution);
    }
    const output: SequencerOutput = {
      event: (event) => {
        this.events.push(event);
        this.told.push(describe(event));
      },
      committed: (last, endLsn) => {
        this.commits.push({ last, endLsn });
        this.told.push(`commit ${last.xid} ..${last.index} end ${endLsn}`);
      },
      advanced: (to) => this.told.push(`advance ${to}`),
    };
    const route = {
      topic: "s.messages",
      partitions: 4,
      wants: (prefix: string) => prefix === wanted,
      placeless: (prefix: string) => this.placeless.push(prefix),
    };
    this.sequencer = new Sequencer({ ...FRESH, ...from }, relations, wanted === null ? null : route, output);
  }

  /** A transaction from `commitLsn` to `endLsn`; `xid` is the commit LSN unless given. */
  transaction(commitLsn: number, endLsn: number, steps: () => void = () => undefined, xid = commitLsn): this {
    this.begin(commitLsn, endLsn, xid);
    steps();
    return this.commit();
  }

  begin(commitLsn: number, endLsn: number, xid = commitLsn): this {
    const commitTime = timeOf(xid);
    this.#commit = { kind: "commit", commitLsn: lsn(commitLsn), endLsn: lsn(endLsn), commitTime };
    this.sequencer.begin({ kind: "begin", commitLsn: lsn(commitLsn), commitTime, xid });
    return this;
  }

  commit(): this {
    this.sequencer.commit(this.#commit!);
    return this;
  }

  insert(relation: number, id: number): this {
    this.sequencer.row({ kind: "insert", relation, new: [String(id), "n"] });
    return this;
  }

  /** An update that changes the key. */
  move(relation: number, from: number, to: number): this {
    const old: Tuple = [String(from), null];
    this.sequencer.row({ kind: "update", relation, old: { form: "key", values: old }, new: [String(to), "n"] });
    return this;
  }

  truncate(...relations: number[]): this {
    this.sequencer.truncate({ kind: "truncate", relations, cascade: false, restartIdentity: false });
    return this;
  }

  message(transactional: boolean, prefix = "p"): this {
    this.sequencer.message({ kind: "message", transactional, prefix, content: Buffer.alloc(0) });
    return this;
  }

  keepalive(walEnd: number): this {
    this.sequencer.keepalive(lsn(walEnd));
    return this;
  }
}

function describe(event: CapturedEvent): string {
  const { change, transaction, sequence, index, last } = event;
  return `${change.operation} ${what(event)} #${sequence} @${transaction.commitLsn}.${index}${last ? "!" : ""}`;
}

function what({ table, change }: CapturedEvent): string {
  if (table === null) {
    return change.prefix;
  }
  const row =
    change.operation === "truncate" ? "" : ` ${String((change.operation === "delete" ? change.old : change.new)[0])}`;
  return `${table.encoder.schema.table.slice("public.".length)}${row}`;
}
