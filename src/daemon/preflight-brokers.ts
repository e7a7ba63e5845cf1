// Limits of the brokers that the daemon's requests and transactions would exceed.
// https://kafka.apache.org/documentation/#brokerconfigs
import type { Config } from "../config/config.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { brokerConfigs } from "../kafka/topics.ts";
import { type Finding, ok, problem, type Remedy, remedy, restart, warning } from "../source/finding.ts";
import { TRANSACTION_TIMEOUT_MS } from "./open-progress.ts";
import { LARGEST_RECORD } from "./preflight-topics.ts";

/** Of a Produce request beside its records. */
const OVERHEAD_BYTES = 64 * 1024;
/** Batches that are larger are sent in several requests. */
const REQUEST_BYTES = 8_000_000;

/** What it may not ask, it doesn't judge: that takes DescribeConfigs on the cluster. Throws NoReply. */
export async function checkBrokers(connection: KafkaConnection, config: Pick<Config, "batch">): Promise<Finding[]> {
  const settings = await brokerConfigs(connection);
  if (settings === null) return [];
  const findings = [...settings].flatMap(([nodeId, own]) => judgeBroker(nodeId, own, config.batch.maxBytes));
  const limits = "the brokers' limits of requests and transactions are wide enough";
  return findings.length > 0 ? findings : [ok("KAFKA_REQUEST_LIMIT", limits)];
}

/** Pure. Codes: KAFKA_TRANSACTION_TIMEOUT_REFUSED, KAFKA_REQUEST_LIMIT. */
export function judgeBroker(nodeId: number, settings: ReadonlyMap<string, string>, batchBytes: number): Finding[] {
  const findings: Finding[] = [];
  const limitOf = (name: string) => Number(settings.get(name) ?? Number.POSITIVE_INFINITY);
  const longest = limitOf("transaction.max.timeout.ms");
  if (longest < TRANSACTION_TIMEOUT_MS) {
    findings.push(
      problem(
        "KAFKA_TRANSACTION_TIMEOUT_REFUSED",
        `Broker ${nodeId} allows transactions of ${longest} ms at most (transaction.max.timeout.ms); the daemon's may take ${TRANSACTION_TIMEOUT_MS} ms.`,
        raised("transaction.max.timeout.ms", TRANSACTION_TIMEOUT_MS),
      ),
    );
  }
  const largest = limitOf("socket.request.max.bytes");
  const needed = Math.min(batchBytes, REQUEST_BYTES) + OVERHEAD_BYTES;
  if (largest < needed) {
    findings.push(
      problem(
        "KAFKA_REQUEST_LIMIT",
        `Broker ${nodeId} takes requests of ${largest} bytes at most (socket.request.max.bytes), and a batch may need ${needed}: the broker ends the connection without a word, again and again.`,
        raised("socket.request.max.bytes", 100 * 1024 ** 2),
      ),
    );
  } else if (largest < LARGEST_RECORD + OVERHEAD_BYTES) {
    findings.push(
      warning(
        "KAFKA_REQUEST_LIMIT",
        `Broker ${nodeId} takes requests of ${largest} bytes at most (socket.request.max.bytes): at the first larger row it ends the connection without a word, again and again.`,
        raised("socket.request.max.bytes", 100 * 1024 ** 2),
      ),
    );
  }
  return findings;
}

const raised = (name: string, value: number): Remedy =>
  remedy`Set ${name}=${String(value)} or more in the properties of every broker, then restart ${restart("Kafka")}.`;
