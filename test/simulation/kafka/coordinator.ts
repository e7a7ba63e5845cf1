// The transaction coordinator, transaction version 1: the states of a transactional id and what each request makes of
// them. The rules are those of TransactionCoordinator and TransactionMetadata in Kafka 4.
import { ErrorCode } from "../../../src/kafka/protocol/error-code.ts";
import type { ProducerIdentity } from "../../../src/kafka/protocol/transaction.ts";

type State = "empty" | "ongoing" | "prepareCommit" | "prepareAbort" | "completeCommit" | "completeAbort";

const NO_EPOCH = -1;

export interface Transaction extends ProducerIdentity {
  producerId: bigint;
  producerEpoch: number;
  /** The epoch whose holder may ask for the current one again. */
  lastEpoch: number;
  state: State;
  /** `topic/partition`. */
  partitions: Set<string>;
  timeoutMs: number;
  /** Counts the transactions of the id. */
  round: number;
  /** When the last one began. */
  startedAt: number;
}

export interface CoordinatorParts {
  /** Writes the markers of an ended transaction, partition by partition, and calls `completed` after the last. */
  readonly writeMarkers: (
    partitions: ReadonlySet<string>,
    owner: ProducerIdentity,
    commit: boolean,
    completed: () => void,
  ) => void;
  readonly now: () => number;
  readonly startTimeout: (timeoutMs: number, expired: () => void) => void;
  /** A commit is decided: from here on it can't be undone. */
  readonly committing: (transaction: Transaction) => void;
}

export class Coordinator {
  readonly #parts: CoordinatorParts;
  readonly #transactions = new Map<string, Transaction>();
  #nextProducerId = 1000n;

  constructor(parts: CoordinatorParts) {
    this.#parts = parts;
  }

  initProducerId(id: string, timeoutMs: number, expected: ProducerIdentity): ProducerIdentity & { error: number } {
    const refuse = (error: number) => ({ error, producerId: -1n, producerEpoch: NO_EPOCH });
    let transaction = this.#transactions.get(id);
    if (transaction === undefined) {
      transaction = {
        producerId: this.#nextProducerId++,
        producerEpoch: NO_EPOCH,
        lastEpoch: NO_EPOCH,
        state: "empty",
        partitions: new Set(),
        timeoutMs,
        round: 0,
        startedAt: -1,
      };
      this.#transactions.set(id, transaction);
    }
    const named = expected.producerId >= 0n;
    if (named && transaction.producerEpoch !== NO_EPOCH && expected.producerId !== transaction.producerId) {
      return refuse(ErrorCode.PRODUCER_FENCED);
    }
    switch (transaction.state) {
      case "prepareCommit":
      case "prepareAbort":
        return refuse(ErrorCode.CONCURRENT_TRANSACTIONS);
      case "ongoing":
        // Whoever asks: the open transaction is aborted under a raised epoch, and the answer comes with the next request.
        this.#fence(transaction);
        return refuse(ErrorCode.CONCURRENT_TRANSACTIONS);
      case "empty":
      case "completeCommit":
      case "completeAbort":
        break;
      default:
        throw transaction.state satisfies never;
    }
    const { producerEpoch, lastEpoch } = transaction;
    if (!named) {
      transaction.producerEpoch = producerEpoch + 1;
      transaction.lastEpoch = NO_EPOCH;
    } else if (producerEpoch === NO_EPOCH || expected.producerEpoch === producerEpoch) {
      transaction.producerEpoch = producerEpoch + 1;
      transaction.lastEpoch = producerEpoch;
    } else if (expected.producerEpoch !== lastEpoch) {
      return refuse(ErrorCode.PRODUCER_FENCED);
    }
    transaction.state = "empty";
    transaction.timeoutMs = timeoutMs;
    return { error: ErrorCode.NONE, producerId: transaction.producerId, producerEpoch: transaction.producerEpoch };
  }

  addPartitions(id: string, owner: ProducerIdentity, partitions: readonly string[]): number {
    const transaction = this.#owned(id, owner);
    if (typeof transaction === "number") {
      return transaction;
    }
    switch (transaction.state) {
      case "prepareCommit":
      case "prepareAbort":
        return ErrorCode.CONCURRENT_TRANSACTIONS;
      case "empty":
      case "completeCommit":
      case "completeAbort": {
        transaction.state = "ongoing";
        transaction.partitions = new Set(partitions);
        const round = ++transaction.round;
        transaction.startedAt = this.#parts.now();
        this.#parts.startTimeout(transaction.timeoutMs, () => {
          if (transaction.state === "ongoing" && transaction.round === round) {
            this.#fence(transaction);
          }
        });
        return ErrorCode.NONE;
      }
      case "ongoing":
        for (const partition of partitions) {
          transaction.partitions.add(partition);
        }
        return ErrorCode.NONE;
      default:
        throw transaction.state satisfies never;
    }
  }

  end(id: string, owner: ProducerIdentity, commit: boolean): number {
    const transaction = this.#owned(id, owner);
    if (typeof transaction === "number") {
      return transaction;
    }
    switch (transaction.state) {
      case "ongoing":
        this.#prepare(transaction, commit);
        return ErrorCode.NONE;
      case "completeCommit":
        return commit ? ErrorCode.NONE : ErrorCode.INVALID_TXN_STATE;
      case "completeAbort":
        return commit ? ErrorCode.INVALID_TXN_STATE : ErrorCode.NONE;
      case "prepareCommit":
        return commit ? ErrorCode.CONCURRENT_TRANSACTIONS : ErrorCode.INVALID_TXN_STATE;
      case "prepareAbort":
        return commit ? ErrorCode.INVALID_TXN_STATE : ErrorCode.CONCURRENT_TRANSACTIONS;
      case "empty":
        return ErrorCode.INVALID_TXN_STATE;
      default:
        throw transaction.state satisfies never;
    }
  }

  describe(id: string): Transaction | undefined {
    return this.#transactions.get(id);
  }

  /** What a partition's leader hears when a producer appends that has no open transaction there (KIP-890, part 1). */
  verify(id: string, owner: ProducerIdentity, partition: string): number {
    const transaction = this.#owned(id, owner);
    if (typeof transaction === "number") {
      return transaction === ErrorCode.PRODUCER_FENCED ? ErrorCode.INVALID_PRODUCER_EPOCH : transaction;
    }
    if (transaction.state === "prepareCommit" || transaction.state === "prepareAbort") {
      return ErrorCode.NOT_ENOUGH_REPLICAS;
    }
    return transaction.state === "ongoing" && transaction.partitions.has(partition)
      ? ErrorCode.NONE
      : ErrorCode.INVALID_TXN_STATE;
  }

  #owned(id: string, owner: ProducerIdentity): Transaction | number {
    const transaction = this.#transactions.get(id);
    if (transaction === undefined || transaction.producerId !== owner.producerId) {
      return ErrorCode.INVALID_PRODUCER_ID_MAPPING;
    }
    return transaction.producerEpoch === owner.producerEpoch ? transaction : ErrorCode.PRODUCER_FENCED;
  }

  #fence(transaction: Transaction): void {
    transaction.lastEpoch = transaction.producerEpoch;
    transaction.producerEpoch++;
    this.#prepare(transaction, false);
  }

  #prepare(transaction: Transaction, commit: boolean): void {
    transaction.state = commit ? "prepareCommit" : "prepareAbort";
    if (commit) {
      this.#parts.committing(transaction);
    }
    const { producerId, producerEpoch } = transaction;
    this.#parts.writeMarkers(transaction.partitions, { producerId, producerEpoch }, commit, () => {
      transaction.state = commit ? "completeCommit" : "completeAbort";
      transaction.partitions = new Set();
    });
  }
}
