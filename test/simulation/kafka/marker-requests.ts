// DescribeProducers, as a partition's leader answers it, and DescribeTransactions, as the coordinator does.
import { ErrorCode } from "../../../src/kafka/protocol/error-code.ts";
import type { ReplyReader } from "../../../src/kafka/protocol/reply-reader.ts";
import type { Cluster } from "./cluster.ts";
import { coordinatorError, led } from "./led.ts";
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
          const producers = typeof target === "number" ? [] : target.producers;
          writer.compactArray(producers, ({ producerId, epoch, openFrom }) => {
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

/** Only of one transactional id: nobody asks for more. */
export function describeTransactions(cluster: Cluster, node: number, body: ReplyReader): Reply {
  const [id] = body.compactArray(() => body.compactString()!);
  const refusal = coordinatorError(cluster, node);
  const found = refusal === 0 ? cluster.coordinator.describe(id!) : undefined;
  const error = refusal || (found === undefined ? ErrorCode.TRANSACTIONAL_ID_NOT_FOUND : ErrorCode.NONE);
  return {
    told: `DescribeTransactions ${found?.producerId}/${found?.producerEpoch} ${found?.state}:${error}`,
    write(writer) {
      writer.int32(0);
      writer.compactArray([id!], () => {
        writer.int16(error);
        writer.compactString(id!);
        writer.compactString(found?.state === "ongoing" ? "Ongoing" : "Another");
        writer.int32(0);
        writer.int64(BigInt(Math.floor(found?.startedAt ?? -1)));
        writer.int64(found?.producerId ?? -1n);
        writer.int16(found?.producerEpoch ?? -1);
        writer.compactArray([], () => undefined);
        writer.noTags();
      });
      writer.noTags();
    },
  };
}
