// The steps of a transaction that its coordinator takes, each repeated while the answer is "not now".
import { AfterimageError } from "../errors.ts";
import type { KafkaConnection } from "./connection.ts";
import { Again, Deadline, untilAnswered, untilDeadline } from "./deadline.ts";
import { AmbiguousOutcome, NoReply, notReady, refused } from "./errors.ts";
import { ErrorCode, isCoordinatorError, isTransactionLost } from "./protocol/error-code.ts";
import { type DescribedTransaction, describeTransaction } from "./protocol/open-transactions.ts";
import type { KafkaRequest } from "./protocol/request.ts";
import {
  addPartitionsToTransaction,
  endTransaction,
  initProducerId,
  type ProducerIdentity,
  type TopicPartition,
} from "./protocol/transaction.ts";

// Markers of the last transaction are still being written: a matter of milliseconds, so a longer pause would cost
// most of the throughput of small transactions.
const MARKERS_PENDING_MS = 2;
const COORDINATOR_MOVED_MS = 25;
const NO_CONNECTION_MS = 100;
const ABSENT_FOR_MS = 5_000;

export class TransactionCoordinator {
  readonly #connection: KafkaConnection;
  readonly #transactionalId: string;
  readonly #transactionTimeoutMs: number;

  constructor(connection: KafkaConnection, transactionalId: string, transactionTimeoutMs: number) {
    this.#connection = connection;
    this.#transactionalId = transactionalId;
    this.#transactionTimeoutMs = transactionTimeoutMs;
  }

  /**
   * InitProducerId. With `NO_IDENTITY` it fences the last holder, with the own identity it raises the own epoch; both
   * end the transaction that is open and may be repeated when a reply was lost (KIP-360). PRODUCER_FENCED: another
   * producer holds the id now. KAFKA_NOT_READY, or NoReply, when the coordinator did not do it in time.
   */
  async initialise(
    identity: ProducerIdentity,
    transactionTimeoutMs = this.#transactionTimeoutMs,
  ): Promise<ProducerIdentity> {
    return untilAnswered(new Deadline(this.#connection.requestTimeoutMs), async () => {
      const reply = await this.#send(initProducerId(this.#transactionalId, transactionTimeoutMs, identity));
      switch (reply.error) {
        case ErrorCode.NONE:
          return { producerId: reply.producerId, producerEpoch: reply.producerEpoch };
        case ErrorCode.PRODUCER_FENCED:
        case ErrorCode.INVALID_PRODUCER_EPOCH:
          throw new AfterimageError(
            "PRODUCER_FENCED",
            `Another producer has taken over ${this.#resource}.`,
            "Only one daemon may publish a stream; this one stands back.",
          );
        default:
          // Here it doesn't matter what became of the last transaction: asking again ends it all the same.
          return isOutcomeOpen(reply.error)
            ? new Again(notReady(reply.error, "InitProducerId", this.#resource), NO_CONNECTION_MS)
            : this.#againOrThrow(reply.error, "InitProducerId");
      }
    });
  }

  /** AddPartitionsToTxn. Throws AmbiguousOutcome, TOPIC_MISSING or KAFKA_NOT_AUTHORIZED. */
  async addPartitions(identity: ProducerIdentity, partitions: readonly TopicPartition[]): Promise<void> {
    const request = addPartitionsToTransaction(this.#transactionalId, identity, partitions);
    const absent = new Deadline(ABSENT_FOR_MS);
    await this.#step("AddPartitionsToTxn", request, (results) => {
      const failed =
        results.find(({ error }) => error !== ErrorCode.NONE && error !== ErrorCode.OPERATION_NOT_ATTEMPTED) ??
        results.find(({ error }) => error !== ErrorCode.NONE);
      if (failed === undefined) {
        return ErrorCode.NONE;
      }
      const resource = `topic ${failed.topic} partition ${failed.partition}`;
      if (failed.error === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION && !absent.passed) {
        return new Again(notReady(failed.error, "AddPartitionsToTxn", resource), COORDINATOR_MOVED_MS);
      }
      if (
        failed.error === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION ||
        failed.error === ErrorCode.TOPIC_AUTHORIZATION_FAILED
      ) {
        throw refused(failed.error, "AddPartitionsToTxn", resource);
      }
      return failed.error;
    });
  }

  /** EndTxn. Throws AmbiguousOutcome. */
  async end(identity: ProducerIdentity, commit: boolean): Promise<void> {
    const request = endTransaction(this.#transactionalId, identity, commit);
    await this.#step(commit ? "EndTxn (commit)" : "EndTxn (abort)", request, ({ error }) => error);
  }

  /** The transaction that is open; null when none is. Throws KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY or NoReply. */
  async ongoing(): Promise<DescribedTransaction | null> {
    return untilAnswered(new Deadline(this.#connection.requestTimeoutMs), async () => {
      const described = await this.#send(describeTransaction(this.#transactionalId));
      switch (described.error) {
        case ErrorCode.NONE:
          return described.state === "Ongoing" ? described : null;
        case ErrorCode.TRANSACTIONAL_ID_NOT_FOUND:
          return null;
        default:
          return this.#againOrThrow(described.error, "DescribeTransactions");
      }
    });
  }

  async #step<Reply>(
    doing: string,
    request: KafkaRequest<Reply>,
    outcomeOf: (reply: Reply) => number | Again,
  ): Promise<void> {
    try {
      await untilDeadline(new Deadline(this.#connection.requestTimeoutMs), async () => {
        let reply: Reply;
        try {
          reply = await this.#send(request);
        } catch (error) {
          if (error instanceof NoReply && !error.sent) {
            return new Again(error, NO_CONNECTION_MS);
          }
          throw error;
        }
        const outcome = outcomeOf(reply);
        if (outcome instanceof Again) {
          return outcome;
        }
        return outcome === ErrorCode.NONE ? undefined : this.#againOrThrow(outcome, doing);
      });
    } catch (error) {
      throw isUnknown(error) ? new AmbiguousOutcome(doing, error) : error;
    }
  }

  async #send<Reply>(request: KafkaRequest<Reply>): Promise<Reply> {
    const coordinator = await this.#connection.coordinatorOf(this.#transactionalId);
    return this.#connection.send(coordinator, request);
  }

  #againOrThrow(error: number, doing: string): Again {
    if (error === ErrorCode.CONCURRENT_TRANSACTIONS) {
      return new Again(notReady(error, doing, this.#resource), MARKERS_PENDING_MS);
    }
    if (isCoordinatorError(error)) {
      this.#connection.forgetCoordinator(this.#transactionalId);
      return new Again(notReady(error, doing, this.#resource), COORDINATOR_MOVED_MS);
    }
    if (error === ErrorCode.REQUEST_TIMED_OUT || error === ErrorCode.NOT_ENOUGH_REPLICAS) {
      return new Again(notReady(error, doing, this.#resource), NO_CONNECTION_MS);
    }
    const refusal = refused(error, doing, this.#resource);
    throw isOutcomeOpen(error) ? new AmbiguousOutcome(doing, refusal) : refusal;
  }

  get #resource(): string {
    return `transactional id ${this.#transactionalId}`;
  }
}

function isOutcomeOpen(error: number): boolean {
  return isTransactionLost(error) || error === ErrorCode.UNKNOWN_SERVER_ERROR;
}

/** No answer, or "not now" until the time was up: what happened to the transaction is open. */
export function isUnknown(error: unknown): boolean {
  return error instanceof NoReply || (error instanceof AfterimageError && error.code === "KAFKA_NOT_READY");
}
