// DescribeProducers and WriteTxnMarkers, as a partition's leader answers them.
import { ErrorCode } from "../../../src/kafka/protocol/error-code.ts";
import type { ReplyReader } from "../../../src/kafka/protocol/reply-reader.ts";
import type { Cluster } from "./cluster.ts";
import { led } from "./log-requests.ts";
import type { Reply } from "./places.ts";

function compactTopics(body: ReplyReader): { topic: string; partitions: number[] }[] {
  return body.compactArray(() => {
    const topic = body.compactString()!;
    const partitions = body.compactArray(() => body.int32());
    body.skipTags();
    return { topic, partitions };
  });
}

export function describeProducers(cluster: Cluster, node: number, body: ReplyReader): Reply {
  const asked = compactTopics(body);
  return {
    told: `DescribeProducers ${asked.map(({ topic, partitions }) => `${topic}/${partitions}`).join(" ")}`,
    write(writer) {
      writer.int32(0);
      writer.compactArray(asked, ({ topic, partitions }) => {
        writer.compactString(topic);
        writer.compactArray(partitions, (partition) => {
          const target = led(cluster, node, topic, partition);
          writer.int32(partition);
          writer.int16(typeof target === "number" ? target : ErrorCode.NONE);
          writer.compactString(null);
          writer.compactArray(typeof target === "number" ? [] : target.producers, ({ producerId, epoch, openFrom }) => {
            writer.int64(producerId);
            writer.int32(epoch);
            writer.int32(-1);
            writer.int64(-1n);
            writer.int32(-1);
            writer.int64(openFrom);
            writer.noTags();
          });
          writer.noTags();
        });
        writer.noTags();
      });
      writer.noTags();
    },
  };
}

export function writeMarkers(cluster: Cluster, node: number, body: ReplyReader): Reply {
  const results = body
    .compactArray(() => {
      const owner = { producerId: body.int64(), producerEpoch: body.int16() };
      const commit = body.boolean();
      const topics = compactTopics(body);
      body.int32();
      body.skipTags();
      return topics.flatMap(({ topic, partitions }) =>
        partitions.map((partition) => {
          const target = led(cluster, node, topic, partition);
          if (typeof target === "number") {
            return { owner, commit, topic, partition, error: target };
          }
          const error = target.mark(owner, commit) ? ErrorCode.NONE : ErrorCode.INVALID_PRODUCER_EPOCH;
          return { owner, commit, topic, partition, error };
        }),
      );
    })
    .flat();
  return {
    told: `WriteTxnMarkers ${results.map((r) => `${r.topic}/${r.partition} ${r.owner.producerId}/${r.owner.producerEpoch} ${r.commit ? "commit" : "abort"}:${r.error}`).join(" ")}`,
    write(writer) {
      writer.compactArray(results, ({ owner, topic, partition, error }) => {
        writer.int64(owner.producerId);
        writer.compactArray([topic], (name) => {
          writer.compactString(name);
          writer.compactArray([partition], (number) => {
            writer.int32(number);
            writer.int16(error);
            writer.noTags();
          });
          writer.noTags();
        });
        writer.noTags();
      });
      writer.noTags();
    },
  };
}
