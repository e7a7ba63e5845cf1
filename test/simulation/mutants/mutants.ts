// The product with one thing wrong, for each thing that the simulation claims to watch: text that is replaced in a source
// file while it is loaded. A simulation that lets one of them pass proves nothing.

export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** A seed that shows it, where the search begins; the next ones follow. */
  readonly from: number;
  /** How it shows. */
  readonly seen: RegExp;
  /** Each is found exactly once. */
  readonly changes: readonly (readonly [from: string, to: string])[];
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "confirms what was merely received",
    file: "src/pipeline/pipeline.ts",
    from: 1,
    seen: /is confirmed, but stored is only/,
    changes: [
      [
        "committed: (transaction, endLsn) => this.#loop.committed(transaction, endLsn),",
        "committed: (transaction, endLsn) => { this.#loop.committed(transaction, endLsn); parts.confirm(endLsn); },",
      ],
    ],
  },
  {
    name: "confirms before the answer to the commit",
    file: "src/pipeline/publish-loop.ts",
    from: 1,
    seen: /is confirmed, but stored is only/,
    changes: [
      [
        "this.#inFlightSince = performance.now();",
        "this.#inFlightSince = performance.now(); this.#parts.published({ endLsn: batch.endLsn } as Progress, { ...batch, bytes: 0, events: [] });",
      ],
    ],
  },
  {
    name: "confirms the end plus one",
    file: "src/source/feedback.ts",
    from: 1,
    seen: /is confirmed, but stored is only/,
    changes: [
      [
        "encodeStatusUpdate(this.#confirmed, Date.now()));",
        "encodeStatusUpdate((this.#confirmed === 0n ? 0n : this.#confirmed + 1n) as Lsn, Date.now()));",
      ],
    ],
  },
  {
    name: "drops the transaction that begins where the last one ended",
    file: "src/capture/sequencer.ts",
    from: 1,
    seen: /endLsn covers \d+ events, published are/,
    changes: [["if (commitLsn < this.#from.endLsn) {", "if (commitLsn <= this.#from.endLsn) {"]],
  },
  {
    name: "publishes the last event of a piece again",
    file: "src/capture/message-count.ts",
    from: 1,
    seen: /not everything was published|expected/,
    changes: [["this.#ordinal > published", "this.#ordinal >= published"]],
  },
  {
    name: "starts a transaction that is published in part from its beginning",
    file: "src/capture/sequencer.ts",
    from: 61,
    seen: /not everything was published/,
    changes: [
      ["last.commitLsn === commitLsn ? last.index : 0", "last.commitLsn === commitLsn ? 0 : 0"],
      ["commitLsn === commitLsn ? this.#from.last : null", "commitLsn === commitLsn ? null : null"],
    ],
  },
  {
    name: "counts only what it keeps",
    file: "src/capture/sequencer.ts",
    from: 1,
    seen: /sequence \d+ is .*, expected/,
    changes: [["this.#index++;\n    const place", "const place"]],
  },
  {
    name: "sends a batch again after an open outcome without reading back",
    file: "src/sink/publisher.ts",
    from: 48,
    seen: /a batch begins at/,
    changes: [
      ["stored = await throughAbsence(() => this.#readBack(batch, fresh), absence);", "stored = null;"],
      ["if (baseOffset !== this.#progressEnd) {", "if (baseOffset < 0n) {"], // it would be noticed there
    ],
  },
  {
    name: "takes an unanswered commit for done",
    file: "src/sink/publisher.ts",
    from: 29,
    seen: /is confirmed, but stored is only|2 progress records/,
    changes: [
      [
        "await this.#producer.commit();",
        "await this.#producer.commit().catch((error) => { if (!(error instanceof AmbiguousOutcome)) throw error; });",
      ],
      ["await untilReadable(this.#own, lastsOf([offsets, written]));", ""], // it would be noticed there
    ],
  },
  {
    name: "asks an unanswered commit again",
    file: "src/kafka/transaction-coordinator.ts",
    from: 94,
    seen: /a transaction has 0 progress records/,
    changes: [["if (error instanceof NoReply && !error.sent) {", "if (error instanceof NoReply) {"]],
  },
  {
    name: "takes whatever it reads back for its own batch",
    file: "src/sink/publisher.ts",
    from: 47,
    seen: /a batch after|sequence|not everything was published/,
    changes: [["if (unchanged) {\n      return null;", "if (unchanged) {\n      return stored;"]],
  },
  {
    name: "keeps its sequence numbers under a new epoch",
    file: "src/kafka/transactional-producer.ts",
    from: 48,
    seen: /not everything was published/,
    changes: [["this.#begun.clear();\n    this.#appender.restartSequences();", "this.#begun.clear();"]],
  },
  {
    name: "takes the transactional id back from whoever holds it now",
    file: "src/kafka/transactional-producer.ts",
    from: 69,
    seen: /./,
    changes: [
      [
        'takeOver() gets");\n    }\n    await this.#initialise(this.#identity);',
        'takeOver() gets");\n    }\n    await this.#initialise(NO_IDENTITY);',
      ],
    ],
  },
  {
    name: "writes an idle record inside a transaction",
    file: "src/pipeline/publish-loop.ts",
    from: 5,
    seen: /an idle record stands inside a transaction/,
    changes: [["this.#inFlight !== null || this.#parts.inTransaction() ? null", "this.#inFlight !== null ? null"]],
  },
  {
    name: "lets the piece that completes a transaction wait for the next one",
    file: "src/pipeline/batch.ts",
    from: 4,
    seen: /a piece shares its Kafka transaction/,
    changes: [["if (this.#split || this.#bytes >= this.#maxBytes) {", "if (this.#bytes >= this.#maxBytes) {"]],
  },
  {
    name: "puts whole transactions into a piece",
    file: "src/pipeline/batch.ts",
    from: 6,
    seen: /a piece shares its Kafka transaction/,
    changes: [
      [
        "this.#sealComplete();\n    if (this.#bytes >= this.#maxBytes && !place.last) {",
        "if (this.#bytes >= this.#maxBytes && !place.last) {",
      ],
    ],
  },
  {
    name: "names the first offset in the vector",
    file: "src/sink/placed-events.ts",
    from: 1,
    seen: /the vector says/,
    changes: [
      [
        "const offset = offsets.get(topic)!.get(partition)!.lastOffset;",
        "const offset = (offsets.get(topic)!.get(partition)! as unknown as { baseOffset: bigint }).baseOffset;",
      ],
    ],
  },
  {
    name: "keeps the driver's buffer",
    file: "src/pipeline/frame-queue.ts",
    from: 1,
    seen: /halted: .*can't be read/,
    changes: [["this.#waiting.push(Buffer.from(bytes));", "this.#waiting.push(bytes);"]],
  },
  {
    name: "does not read on after the budget is free again",
    file: "src/pipeline/byte-budget.ts",
    from: 3,
    seen: /not everything was published/,
    changes: [["this.#onFree();", ""]],
  },
  {
    name: "halts on what another daemon made while it was suspended",
    file: "src/daemon/open-progress.ts",
    from: 91,
    seen: /halted/,
    changes: [["await producer.reinitialise();", ""]],
  },
  {
    name: "takes what the next holder stored for a stranger's",
    file: "src/sink/publisher.ts",
    from: 4585,
    seen: /PROGRESS_FOREIGN|does not hold what this daemon wrote/,
    changes: [["await this.#producer.reinitialise();\n    throw", "throw"]],
  },
  {
    name: "does not notice in time that the stream was lost during the start",
    file: "src/daemon/stream-session.ts",
    from: 5430,
    seen: /not everything was published/,
    changes: [
      ["stream.lost.catch((error) => onStreamLost(streamLost(config.stream, error)));", ""],
      ["onStreamLost = (error) => pipeline.fail(error);", "stream.lost.catch((error) => pipeline.fail(error));"],
    ],
  },
  {
    name: "takes the transactional id before it holds the slot",
    file: "src/daemon/stream-session.ts",
    from: 1,
    seen: /taken without the slot/,
    changes: [
      [
        "const stream = await connections.replication(",
        "await openProgress(config, catalog, connection, lost, wish); const stream = await connections.replication(",
      ],
    ],
  },
  {
    name: "goes on with an outcome that is open without asking whose it is",
    file: "src/sink/publisher.ts",
    from: 39,
    seen: /not everything was published/,
    changes: [["await throughAbsence(() => this.#reinitialise(batch, fresh), absence);", ""]],
  },
  {
    name: "gives a batch up when Kafka says not now",
    file: "src/kafka/transaction-coordinator.ts",
    from: 1,
    seen: /CONCURRENT_TRANSACTIONS/,
    changes: [["if (error === ErrorCode.CONCURRENT_TRANSACTIONS) {", "if (false) {"]],
  },
  {
    name: "gives a schema id twice",
    file: "src/daemon/table-resolver.ts",
    from: 4,
    seen: /halted/,
    changes: [["this.#nextId = Math.max(this.#nextId, schema.schema + 1);", "this.#nextId = 1;"]],
  },
  {
    name: "confirms what has not got its markers",
    file: "src/sink/publisher.ts",
    from: 1,
    seen: /is confirmed, but stored is only/,
    changes: [["await untilReadable(this.#own, lastsOf([offsets, written]));", ""]],
  },
  {
    name: "aborts what has lost the marker of its progress record, though events can be read",
    file: "src/sink/settle.ts",
    from: 139,
    seen: /is aborted, but was committed elsewhere/,
    changes: [['fates.includes("committed")', 'fates.includes("gone")']],
  },
  {
    name: "aborts what the progress record counts",
    file: "src/sink/settle.ts",
    from: 219,
    seen: /is aborted, but was committed elsewhere/,
    changes: [["accounted.push(place);", ""]],
  },
  {
    name: "commits what was aborted and has lost markers",
    file: "src/sink/settle.ts",
    from: 47,
    seen: /a transaction has 0 progress records|is committed, (which nobody has decided|but was aborted elsewhere)/,
    changes: [
      [
        "{ commit: false, places: open };\n}\n\n/** The progress record is open",
        "{ commit: true, places: open };\n}\n\n/** The progress record is open",
      ],
    ],
  },
  {
    name: "lets InitProducerId abort a settlement that was interrupted",
    file: "src/sink/settle.ts",
    from: 1856,
    seen: /is aborted, but was committed elsewhere/,
    changes: [["await commitInterrupted(own, allPlaces);", ""]],
  },
];
