// What the Kafka wire throws: a broker that gave no answer, an answer that says no, and an outcome nobody knows.
import { AfterimageError } from "../errors.ts";
import { ErrorCode, nameOfError } from "./protocol/error-code.ts";

/**
 * Whether the last step of the transaction was carried out is not known, or the transaction is no longer ours.
 * The one way on is `TransactionalProducer.reinitialise()`, then reading back what was committed.
 */
export class AmbiguousOutcome extends AfterimageError {
  constructor(step: string, cause: unknown) {
    super(
      "KAFKA_OUTCOME_UNKNOWN",
      `Kafka left open what became of ${step}.`,
      "Check that the brokers run. Nothing is lost or doubled: what was committed is read back before the stream goes on.",
      { cause },
    );
    this.name = "AmbiguousOutcome";
  }
}

/** One record alone is larger than the topic takes, however the batch is cut. */
export class RecordTooLarge extends AfterimageError {
  readonly topic: string;
  /** As it was given to `produce`. */
  readonly record: unknown;

  constructor({ topic, partition }: { topic: string; partition: number }, bytes: number, record: unknown) {
    super(
      "RECORD_TOO_LARGE",
      `A record of ${bytes} bytes is larger than topic ${topic} takes (partition ${partition}).`,
      "Raise the topic's max.message.bytes (kafka-configs.sh --alter), then start: it goes on with this event.",
    );
    this.topic = topic;
    this.record = record;
  }
}

/** No reply came. `sent` is false when the request can't have reached the broker. */
export class NoReply extends AfterimageError {
  readonly sent: boolean;

  constructor(code: string, message: string, advice: string, sent: boolean, cause?: unknown) {
    super(code, message, advice, { cause });
    this.name = "NoReply";
    this.sent = sent;
  }
}

export function unreachable(what: string, sent: boolean, cause?: unknown): NoReply {
  return new NoReply(
    "KAFKA_UNREACHABLE",
    what,
    "Check that Kafka runs and that its advertised listeners can be reached from here. A broker that closes connections at once usually expects TLS or SASL: see kafka.ssl and kafka.sasl.",
    sent,
    cause,
  );
}

/** An answer that asking again won't change. `resource` is what was asked about: `topic shop.public.orders`. */
export function refused(code: number, doing: string, resource: string): AfterimageError {
  const said = `Kafka refused ${doing} (${resource}): ${nameOfError(code)}.`;
  switch (code) {
    case ErrorCode.TOPIC_AUTHORIZATION_FAILED:
    case ErrorCode.GROUP_AUTHORIZATION_FAILED:
    case ErrorCode.CLUSTER_AUTHORIZATION_FAILED:
    case ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return new AfterimageError(
        "KAFKA_NOT_AUTHORIZED",
        said,
        `Grant the client's Kafka principal the right it lacks on ${resource} (kafka-acls.sh --add).`,
      );
    case ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
    case ErrorCode.UNKNOWN_TOPIC_ID:
      return topicMissing(resource);
    case ErrorCode.OFFSET_OUT_OF_RANGE:
      return new AfterimageError(
        "OFFSET_OUT_OF_RANGE",
        said,
        "The log no longer, or not yet, holds this offset: the topic was shortened or made again. Rebuild the view.",
      );
    case ErrorCode.INVALID_TIMESTAMP:
      return new AfterimageError(
        "KAFKA_TIMESTAMP_REFUSED",
        said,
        "Set message.timestamp.type=LogAppendTime on the topic, or set this machine's clock right.",
      );
    case ErrorCode.INVALID_TRANSACTION_TIMEOUT:
      return new AfterimageError(
        "KAFKA_TRANSACTION_TIMEOUT_REFUSED",
        said,
        "Choose a transaction timeout at or below the broker's transaction.max.timeout.ms.",
      );
    case ErrorCode.INVALID_RECORD:
      return new AfterimageError(
        "KAFKA_RECORD_REFUSED",
        said,
        "Check the topic's cleanup.policy (a compacted topic takes no record without key) and other settings.",
      );
    case ErrorCode.POLICY_VIOLATION:
    case ErrorCode.INVALID_CONFIG:
    case ErrorCode.INVALID_PARTITIONS:
    case ErrorCode.INVALID_REPLICATION_FACTOR:
    case ErrorCode.INVALID_TOPIC_EXCEPTION:
      return new AfterimageError(
        "TOPIC_REFUSED",
        said,
        "Create the topic by hand as the broker's rules demand; a topic that exists is used as it is.",
      );
    default:
      return new AfterimageError("KAFKA_REFUSED", said, "See the broker's log for the reason.");
  }
}

export function topicMissing(resource: string): AfterimageError {
  return new AfterimageError(
    "TOPIC_MISSING",
    `Kafka does not know ${resource}.`,
    "If the topic was deleted, its events are gone: rebuild the stream. Topics are never created by looking at them.",
  );
}

/** The broker keeps answering that it can't do it right now. */
export function notReady(code: number, doing: string, resource: string): AfterimageError {
  return new AfterimageError(
    "KAFKA_NOT_READY",
    `Kafka can't serve ${doing} (${resource}) yet: ${nameOfError(code)}.`,
    "Check that enough brokers run: leaders, the transaction coordinator and min.insync.replicas.",
  );
}
