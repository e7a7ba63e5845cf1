// The requests that a partition's leader answers: Produce, Fetch and ListOffsets.
import { ErrorCode } from "../../../src/kafka/protocol/error-code.ts";
import type { ReplyReader } from "../../../src/kafka/protocol/reply-reader.ts";
import type { Cluster } from "./cluster.ts";
import { led } from "./led.ts";
import { places, type Reply, writePlaces } from "./places.ts";

const READ_COMMITTED = 1;

export function produce(cluster: Cluster, node: number, body: ReplyReader): Reply {
  const id = body.string()!;
  body.int16();
  body.int32();
  const results = places(body, () => body.bytes()).map(({ topic, partition, detail }) => {
    const target = led(cluster, node, topic, partition);
    const appended =
      typeof target === "number"
        ? { error: target, baseOffset: -1n }
        : target.append(detail, (owner) => cluster.coordinator.verify(id, owner, `${topic}/${partition}`));
    return { topic, partition, detail: appended };
  });
  return {
    told: `Produce ${results.map((r) => `${r.topic}/${r.partition}@${r.detail.baseOffset}:${r.detail.error}`).join(" ")}`,
    write(writer) {
      writePlaces(writer, results, ({ error, baseOffset }, partition) => {
        writer.int32(partition);
        writer.int16(error);
        writer.int64(baseOffset);
        writer.int64(-1n);
        writer.int64(0n);
        writer.int32(0);
        writer.string(null);
      });
      writer.int32(0);
    },
  };
}

export function fetch(cluster: Cluster, node: number, body: ReplyReader): Reply {
  body.int32();
  const maxWaitMs = body.int32();
  body.int32();
  body.int32();
  const uncommitted = body.int8() !== READ_COMMITTED;
  body.int32();
  body.int32();
  const asked = places(body, () => {
    body.int32();
    const offset = body.int64();
    body.int64();
    return { offset, maxBytes: body.int32() };
  });
  const results = asked.map(({ topic, partition, detail: { offset, maxBytes } }) => {
    const target = led(cluster, node, topic, partition);
    const none = { highWatermark: -1n, lastStable: -1n, aborted: [], batches: Buffer.alloc(0) };
    if (typeof target === "number") {
      return { topic, partition, detail: { error: target, ...none } };
    }
    if (offset > target.end) {
      return { topic, partition, detail: { error: ErrorCode.OFFSET_OUT_OF_RANGE, ...none } };
    }
    const { end: highWatermark, lastStable } = target;
    const read = target.read(offset, maxBytes, uncommitted);
    return { topic, partition, detail: { error: 0, highWatermark, lastStable, ...read } };
  });
  const isEmpty = results.every(({ detail }) => detail.error === 0 && detail.batches.length === 0);
  return {
    told: `Fetch ${results.map((r) => `${r.topic}/${r.partition}:${r.detail.error} ${r.detail.batches.length} B`).join(" ")}`,
    waitMs: isEmpty ? maxWaitMs : 0,
    write(writer) {
      writer.int32(0);
      writer.int16(0);
      writer.int32(0);
      writePlaces(writer, results, ({ error, highWatermark, lastStable, aborted, batches }, partition) => {
        writer.int32(partition);
        writer.int16(error);
        writer.int64(highWatermark);
        writer.int64(lastStable);
        writer.int64(0n);
        writer.array(aborted, ({ producerId, firstOffset }) => {
          writer.int64(producerId);
          writer.int64(firstOffset);
        });
        writer.int32(-1);
        writer.int32(batches.length);
        writer.fill(batches.length, (buffer, at) => void batches.copy(buffer, at));
      });
    },
  };
}

export function listOffsets(cluster: Cluster, node: number, body: ReplyReader): Reply {
  body.int32();
  const isCommitted = body.int8() === READ_COMMITTED;
  const results = places(body, () => body.int64()).map(({ topic, partition, detail: timestamp }) => {
    const target = led(cluster, node, topic, partition);
    if (typeof target === "number") {
      return { topic, partition, detail: { error: target, offset: -1n } };
    }
    const latest = isCommitted ? target.lastStable : target.end;
    return { topic, partition, detail: { error: 0, offset: timestamp === -2n ? 0n : latest } };
  });
  return {
    told: `ListOffsets ${results.map((r) => `${r.topic}/${r.partition}:${r.detail.error} ${r.detail.offset}`).join(" ")}`,
    write(writer) {
      writer.int32(0);
      writePlaces(writer, results, ({ error, offset }, partition) => {
        writer.int32(partition);
        writer.int16(error);
        writer.int64(-1n);
        writer.int64(offset);
      });
    },
  };
}
