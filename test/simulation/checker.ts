// Judges a run from outside: each Kafka transaction at the moment its commit is decided, each confirmation before it is
// sent, and at the end everything a read_committed reader gets, held against the log of Postgres.
import { isDeepStrictEqual } from "node:util";
import { formatLsn, type Lsn, parseLsn, ZERO_LSN } from "../../src/event/lsn.ts";
import { type CommittedRecord, readCommitted } from "../../src/kafka/record-batch-reader.ts";
import { STREAM } from "./daemon.ts";
import { Decided } from "./decided.ts";
import type { Cluster } from "./kafka/cluster.ts";
import type { Transaction } from "./kafka/coordinator.ts";
import type { PostgresServer } from "./postgres/server.ts";
import { demand } from "./violation.ts";

const PROGRESS = `${STREAM}.progress`;
const SCHEMAS = `${STREAM}.schemas`;

interface Stored {
  readonly firstSequence: number;
  readonly sequence: number;
  readonly completeSequence: number;
  readonly endLsn: Lsn;
  readonly last: {
    readonly xid: string;
    readonly commitLsn: string;
    readonly index: number;
    readonly complete: boolean;
  } | null;
  readonly partitions: Readonly<Record<string, Readonly<Record<string, { sequence: number; offset: number }>>>>;
}

/** How far it was before a transaction. */
interface Before {
  readonly stored: Stored | null;
  readonly covered: number;
  readonly due: number;
}

interface ReadEvent {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly sequence: number;
  readonly xid: string;
  readonly isLast: boolean;
  readonly copies: number;
  /** As `expectedEvents` has it. */
  readonly text: string;
}

export class Checker {
  readonly #cluster: Cluster;
  readonly #server: PostgresServer;
  #stored: Stored | null = null;
  #epoch = -1;
  /** Source transactions that endLsn covers, and how many events they have. */
  #covered = 0;
  #due = 0;
  #decided: Decided<Before> | null = null;
  /** Kafka transactions that were committed. */
  commits = 0;

  constructor(cluster: Cluster, server: PostgresServer) {
    this.#cluster = cluster;
    this.#server = server;
  }

  get storedSequence(): number {
    return this.#stored?.sequence ?? 0;
  }

  /** A daemon has reached a step; it has got the slot in this session or not. */
  reached(name: string, hasSlot: boolean): void {
    demand(hasSlot || name !== "producer.initialised", () => "the transactional id is taken without the slot");
  }

  /** A status update is about to be sent. */
  confirming(lsn: Lsn): void {
    const decided = this.#decided;
    const stored = (decided?.isOpen ? decided.before.stored : this.#stored)?.endLsn ?? ZERO_LSN;
    demand(lsn <= stored, () => `${formatLsn(lsn)} is confirmed, but stored is only ${formatLsn(stored)}`);
  }

  /** A commit is decided; its records are in the logs. */
  committing(transaction: Transaction): void {
    this.commits++;
    demand(
      transaction.producerEpoch >= this.#epoch,
      () => `a transaction of epoch ${transaction.producerEpoch} is committed after one of ${this.#epoch}`,
    );
    this.#epoch = transaction.producerEpoch;
    const open = [...transaction.partitions].map((place) => ({ place, ...this.#openIn(place, transaction) }));
    const records = open.flatMap(({ own }) => own);
    const left = open.filter(({ others }) => others);
    if (records.length === 0 && left.length > 0) {
      return; // it settles; `ended` sees what
    }
    demand(left.length === 0, () => `a transaction commits what an earlier one has left in ${left[0]!.place}`);
    const progress = records.filter(({ topic }) => topic === PROGRESS);
    demand(progress.length === 1, () => `a transaction has ${progress.length} progress records`);
    const now = parseStored(progress[0]!.record);
    const events = records.filter(({ topic }) => topic !== PROGRESS && topic !== SCHEMAS).map(toEvent);
    const before = { stored: this.#stored, covered: this.#covered, due: this.#due };
    this.#decided = new Decided(open, before);
    this.#checkSequences(now, events);
    this.#checkWholeness(now, events);
    this.#checkVector(now, events);
    this.#stored = now;
  }

  /** A marker has ended what was open in a partition. */
  ended(place: string, openFrom: bigint, commit: boolean): void {
    const decided = this.#decided;
    if (decided?.has(place, openFrom) !== true) {
      demand(!commit, () => `${place} from ${openFrom} is committed, which nobody has decided`);
    } else if (decided.ended(place, commit) === "undone") {
      this.#stored = decided.before.stored;
      this.#covered = decided.before.covered;
      this.#due = decided.before.due;
    }
  }

  /** Everything is published, nothing else, in order, and Postgres was told. */
  finished(): void {
    const expected = this.expected();
    const events = this.#readAll();
    const bySequence = Map.groupBy(events, ({ sequence }) => sequence);
    const sequences = [...bySequence.keys()].sort((a, b) => a - b);
    sequences.forEach((sequence, place) => {
      demand(sequence === place + 1, () => `sequence ${place + 1} is missing`);
      const same = bySequence.get(sequence)!;
      demand(same.length === same[0]!.copies, () => `sequence ${sequence} is there ${same.length} times`);
      demand(
        new Set(same.map(({ text, partition }) => `${text} ${partition}`)).size === same.length,
        () => `sequence ${sequence} is twice in one partition`,
      );
      demand(
        same.every(({ text }) => text === expected[place]),
        () => `sequence ${sequence} is ${same[0]!.text}, expected ${expected[place]}`,
      );
    });
    demand(sequences.length === expected.length, () => `${expected.length - sequences.length} events are missing`);
  }

  /** One line for each event that the stream must hold. */
  expected(): string[] {
    const { slotStart, transactions } = this.#server;
    return slotStart === null
      ? []
      : transactions.filter(({ commitLsn }) => commitLsn >= slotStart).flatMap(({ expected }) => expected);
  }

  #checkSequences(now: Stored, events: readonly ReadEvent[]): void {
    const before = this.storedSequence;
    demand(
      now.firstSequence === before + 1,
      () => `a batch begins at ${now.firstSequence}, but ${before} was the last sequence`,
    );
    const sequences = [...new Set(events.map(({ sequence }) => sequence))].sort((a, b) => a - b);
    demand(
      sequences.every((sequence, place) => sequence === before + 1 + place),
      () => `a batch after ${before} has the sequences ${sequences.join(" ")}`,
    );
    demand(
      now.sequence === before + sequences.length,
      () => `the record says ${now.sequence}, the batch ends with ${before + sequences.length}`,
    );
    for (const { topic, partition } of events) {
      const own = events.filter((event) => event.topic === topic && event.partition === partition);
      demand(
        own.every(({ sequence }, place) => place === 0 || sequence > own[place - 1]!.sequence),
        () => `${topic}/${partition} is out of order`,
      );
    }
    const stored = this.#stored?.endLsn ?? ZERO_LSN;
    demand(now.endLsn >= stored, () => `endLsn goes back from ${formatLsn(stored)} to ${formatLsn(now.endLsn)}`);
  }

  /** A transaction that is published in part shares its Kafka transactions with no other. */
  #checkWholeness(now: Stored, events: readonly ReadEvent[]): void {
    const xids = new Set(events.map(({ xid }) => xid));
    const open = this.#stored?.last?.complete === false ? this.#stored.last : null;
    const last = events.toSorted((a, b) => a.sequence - b.sequence).at(-1);
    if (last === undefined) {
      // A start that records schemas repeats where the stream stands; nothing else comes in between.
      demand(
        open === null || (now.endLsn === this.#stored!.endLsn && isDeepStrictEqual(now.last, open)),
        () => "an idle record stands inside a transaction",
      );
      return;
    }
    demand(now.last?.xid === last.xid, () => `the record names ${now.last?.xid}, the last event is of ${last.xid}`);
    demand(now.last!.complete === last.isLast, () => `complete is ${now.last!.complete}, last is ${last.isLast}`);
    if (open !== null || !now.last!.complete) {
      demand(xids.size === 1, () => `a piece shares its Kafka transaction: ${[...xids].join(" ")}`);
      demand(open === null || xids.has(open.xid), () => `${open!.xid} is open, but ${[...xids].join(" ")} follows`);
    }
    if (now.last!.complete) {
      demand(now.completeSequence === now.sequence, () => "a whole transaction, but completeSequence is behind");
    } else {
      demand(
        now.endLsn <= parseLsn(now.last!.commitLsn),
        () => `endLsn ${formatLsn(now.endLsn)} lies behind the commit of a transaction that is published in part`,
      );
    }
  }

  /** Everything that ends at or below endLsn is published, and the vector names what was written. */
  #checkVector(now: Stored, events: readonly ReadEvent[]): void {
    const { slotStart, transactions } = this.#server;
    while (this.#covered < transactions.length && transactions[this.#covered]!.endLsn <= now.endLsn) {
      const { commitLsn, expected } = transactions[this.#covered]!;
      this.#due += commitLsn >= slotStart! ? expected.length : 0;
      this.#covered++;
    }
    demand(
      now.completeSequence >= this.#due,
      () => `endLsn covers ${this.#due} events, published are ${now.completeSequence}`,
    );
    const written = new Map<string, ReadEvent>();
    for (const event of events) {
      written.set(`${event.topic}/${event.partition}`, event);
    }
    const named = Object.entries(now.partitions).flatMap(([topic, partitions]) =>
      Object.entries(partitions).map(([partition, position]) => ({ place: `${topic}/${partition}`, ...position })),
    );
    demand(named.length === written.size, () => `the vector names ${named.length} partitions of ${written.size}`);
    for (const { place, sequence, offset } of named) {
      const event = written.get(place);
      demand(
        event?.sequence === sequence && event.offset === BigInt(offset),
        () => `the vector says ${place} is at ${sequence}@${offset}, it is at ${event?.sequence}@${event?.offset}`,
      );
    }
  }

  /** What the producer has open in a partition: records of this transaction's epoch, and whether there are others. */
  #openIn(place: string, { producerId, producerEpoch }: Transaction) {
    const cut = place.lastIndexOf("/");
    const [topic, number] = [place.slice(0, cut), Number(place.slice(cut + 1))];
    const partition = this.#cluster.partition(topic, number)!;
    const openFrom = partition.openFrom(producerId);
    const open = partition.batches.filter(
      (batch) => openFrom !== null && batch.producerId === producerId && batch.baseOffset >= openFrom,
    );
    const own = open.filter((batch) => batch.producerEpoch === producerEpoch);
    const { records } = readCommitted(Buffer.concat(own.map(({ bytes }) => bytes)), 0n, [], {
      topic,
      partition: number,
    });
    return { openFrom, own: records.map((record): Placed => ({ topic, record })), others: own.length < open.length };
  }

  #readAll(): ReadEvent[] {
    return [...this.#cluster.topics.values()]
      .filter(({ name }) => name !== PROGRESS && name !== SCHEMAS)
      .flatMap(({ name, partitions }) =>
        partitions.flatMap((partition) => {
          const { batches, aborted } = partition.read(0n, Number.POSITIVE_INFINITY);
          const place = { topic: name, partition: partition.partition };
          return readCommitted(batches, 0n, aborted, place).records.map((record) => toEvent({ topic: name, record }));
        }),
      );
  }
}

interface Placed {
  readonly topic: string;
  readonly record: CommittedRecord;
}

function parseStored(record: CommittedRecord): Stored {
  const json = JSON.parse(record.value!.toString("utf8"));
  return { ...json, endLsn: parseLsn(json.endLsn) };
}

function toEvent({ topic, record }: Placed): ReadEvent {
  const event = JSON.parse(record.value!.toString("utf8"));
  const { operation, key, after, transaction } = event;
  const isMessage = operation === "message";
  const of = isMessage ? after.prefix : event.table.replace("public.", "");
  const columns = after === null ? "" : ` of ${Object.keys(after).length}`;
  const row = operation === "truncate" || isMessage ? "" : ` ${key.id}${columns}`;
  const isLast = transaction.last === true;
  return {
    topic,
    partition: record.partition,
    offset: record.offset,
    sequence: event.sequence,
    xid: transaction.id,
    isLast,
    copies: event.copies ?? 1,
    text: `${operation} ${of}${row} @${transaction.id} ${transaction.lsn} ${transaction.index}${isLast ? "!" : ""}`,
  };
}
