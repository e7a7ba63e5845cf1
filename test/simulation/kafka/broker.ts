// Takes a request's bytes as one node of the cluster gets them, and gives the bytes of its reply: the versions that the
// product speaks, no others. https://kafka.apache.org/protocol.html
import { ErrorCode } from "../../../src/kafka/protocol/error-code.ts";
import { ReplyReader } from "../../../src/kafka/protocol/reply-reader.ts";
import { RequestWriter } from "../../../src/kafka/protocol/request-writer.ts";
import type { ProducerIdentity } from "../../../src/kafka/protocol/transaction.ts";
import type { Cluster } from "./cluster.ts";
import { coordinatorError } from "./led.ts";
import { fetch, listOffsets, produce } from "./log-requests.ts";
import { describeProducers, describeTransactions } from "./marker-requests.ts";
import { type Place, places, type Reply, writePlaces } from "./places.ts";

/** What a node says to one request, and in short what that was, for the trace. */
export interface Answer {
  readonly payload: Buffer;
  readonly told: string;
  /** The reply is held back so long: nothing new to fetch. */
  readonly waitMs: number;
}

export function answer(cluster: Cluster, node: number, frame: Buffer): Answer {
  const apiKey = frame.readInt16BE(4);
  const version = frame.readInt16BE(6);
  const client = frame.readInt16BE(12);
  const handler = HANDLERS[`${apiKey}v${version}`];
  if (handler === undefined) {
    throw new Error(`The simulated broker does not know API ${apiKey} version ${version}.`);
  }
  const isFlexible = FLEXIBLE.has(`${apiKey}v${version}`);
  const body = new ReplyReader(frame.subarray(14 + client + (isFlexible ? 1 : 0)));
  const reply = handler(cluster, node, body);
  const writer = new RequestWriter(256);
  writer.int32(0);
  if (isFlexible) {
    writer.noTags();
  }
  reply.write(writer);
  return { payload: writer.finish().subarray(4), told: reply.told, waitMs: reply.waitMs ?? 0 };
}

type Handler = (cluster: Cluster, node: number, body: ReplyReader) => Reply;

const FLEXIBLE = new Set(["3v12", "22v4", "61v0", "65v0"]);

const HANDLERS: Record<string, Handler> = {
  "0v8": produce,
  "1v11": fetch,
  "2v3": listOffsets,
  "3v12": metadata,
  "10v2": findCoordinator,
  "19v4": createTopics,
  "22v4": initProducerId,
  "24v2": addPartitions,
  "26v2": endTransaction,
  "61v0": describeProducers,
  "65v0": describeTransactions,
};

const readOwner = (body: ReplyReader): ProducerIdentity => ({ producerId: body.int64(), producerEpoch: body.int16() });

function metadata(cluster: Cluster, node: number, body: ReplyReader): Reply {
  const length = body.unsignedVarint();
  const names: string[] = [];
  for (let left = length - 1; left > 0; left--) {
    body.int64();
    body.int64();
    names.push(body.compactString()!);
    body.skipTags();
  }
  const known = new Map(cluster.knownTo(node).map((topic) => [topic.name, topic]));
  const found = length === 0 ? [...known.keys()] : names;
  const nodes = cluster.nodes.filter((each) => cluster.isUp(each));
  return {
    told: `Metadata ${length === 0 ? "*" : names.join(" ")}`,
    write(writer) {
      writer.int32(0);
      writer.compactArray(nodes, (each) => {
        writer.int32(each);
        writer.compactString("node");
        writer.int32(each);
        writer.compactString(null);
        writer.noTags();
      });
      writer.compactString("simulated");
      writer.int32(nodes[0]!);
      writer.compactArray(found, (name) => {
        const topic = known.get(name);
        writer.int16(topic === undefined ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : 0);
        writer.compactString(name);
        writer.fill(16, (buffer, at) => void (topic?.id ?? Buffer.alloc(16)).copy(buffer, at));
        writer.boolean(false);
        writer.compactArray(topic?.partitions ?? [], ({ partition, leader }) => {
          writer.int16(0);
          writer.int32(partition);
          writer.int32(leader);
          writer.int32(0);
          for (let list = 0; list < 3; list++) {
            writer.compactArray([], () => undefined);
          }
          writer.noTags();
        });
        writer.int32(-1);
        writer.noTags();
      });
      writer.noTags();
    },
  };
}

function findCoordinator(cluster: Cluster): Reply {
  const node = cluster.coordinatorNode;
  const error = cluster.isUp(node) ? 0 : ErrorCode.COORDINATOR_NOT_AVAILABLE;
  return {
    told: `FindCoordinator ${node}:${error}`,
    write(writer) {
      writer.int32(0);
      writer.int16(error);
      writer.string(null);
      writer.int32(node);
      writer.string("node");
      writer.int32(node);
    },
  };
}

function createTopics(cluster: Cluster, _node: number, body: ReplyReader): Reply {
  const results = body.array(() => {
    const name = body.string()!;
    const partitions = body.int32();
    body.int16();
    body.int32();
    body.array(() => [body.string(), body.string()]);
    return { name, error: cluster.createTopic(name, partitions) ? 0 : ErrorCode.TOPIC_ALREADY_EXISTS };
  });
  return {
    told: `CreateTopics ${results.map(({ name, error }) => `${name}:${error}`).join(" ")}`,
    write(writer) {
      writer.int32(0);
      writer.array(results, ({ name, error }) => {
        writer.string(name);
        writer.int16(error);
        writer.string(null);
      });
    },
  };
}

function initProducerId(cluster: Cluster, node: number, body: ReplyReader): Reply {
  const id = body.compactString()!;
  const timeoutMs = body.int32();
  const expected = readOwner(body);
  const error = coordinatorError(cluster, node);
  const given =
    error === 0
      ? cluster.coordinator.initProducerId(id, timeoutMs, expected)
      : { error, producerId: -1n, producerEpoch: -1 };
  return {
    told: `InitProducerId ${expected.producerId}/${expected.producerEpoch} -> ${given.producerId}/${given.producerEpoch}:${given.error}`,
    write(writer) {
      writer.int32(0);
      writer.int16(given.error);
      writer.int64(given.producerId);
      writer.int16(given.producerEpoch);
      writer.noTags();
    },
  };
}

function addPartitions(cluster: Cluster, node: number, body: ReplyReader): Reply {
  const id = body.string()!;
  const owner = readOwner(body);
  const asked = places(body, () => null);
  const absent = ({ topic, partition }: Place<null>) => cluster.partitionAt(node, topic, partition) === undefined;
  const refusal = coordinatorError(cluster, node);
  const someAbsent = asked.some(absent);
  const error =
    refusal !== 0 || someAbsent
      ? refusal
      : cluster.coordinator.addPartitions(
          id,
          owner,
          asked.map(({ topic, partition }) => `${topic}/${partition}`),
        );
  const errorOf = (place: Place<null>) => {
    if (!someAbsent) {
      return error;
    }
    return absent(place) ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : ErrorCode.OPERATION_NOT_ATTEMPTED;
  };
  const results = asked.map((place) => ({ ...place, detail: errorOf(place) }));
  return {
    told: `AddPartitionsToTxn ${owner.producerId}/${owner.producerEpoch} ${results.map((r) => `${r.topic}/${r.partition}:${r.detail}`).join(" ")}`,
    write(writer) {
      writer.int32(0);
      writePlaces(writer, results, (code, partition) => {
        writer.int32(partition);
        writer.int16(code);
      });
    },
  };
}

function endTransaction(cluster: Cluster, node: number, body: ReplyReader): Reply {
  const id = body.string()!;
  const owner = readOwner(body);
  const commit = body.boolean();
  const error = coordinatorError(cluster, node) || cluster.coordinator.end(id, owner, commit);
  return {
    told: `EndTxn ${owner.producerId}/${owner.producerEpoch} ${commit ? "commit" : "abort"}:${error}`,
    write(writer) {
      writer.int32(0);
      writer.int16(error);
    },
  };
}
