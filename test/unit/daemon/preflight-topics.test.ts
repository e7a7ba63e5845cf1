// Topic settings and names that no test's broker has, and a disk that is nearly full.
import { expect, test } from "vitest";
import { judgeRoom } from "../../../src/daemon/preflight-local.ts";
import { judgeName, judgeSettings } from "../../../src/daemon/preflight-topics.ts";
import { shell, warning } from "../../../src/source/finding.ts";

const judge = (replicas: number, settings: Record<string, string>) =>
  judgeSettings({ name: "t", replicas }, new Map(Object.entries(settings)), (_, text) => shell(text), warning).map(
    ({ code, severity, steps }) => [severity, code, steps[0]!.text].join(" "),
  );

test.each([
  [3, { "min.insync.replicas": "2" }, []],
  [3, { "min.insync.replicas": "1" }, ["note TOPIC_MIN_ISR min.insync.replicas=2"]],
  [1, { "min.insync.replicas": "1" }, []],
  [3, { "min.insync.replicas": "4" }, ["warning TOPIC_UNWRITABLE min.insync.replicas=2"]],
  [1, { "max.message.bytes": "16777216" }, []],
  [1, { "max.message.bytes": "1048588" }, ["note TOPIC_MESSAGE_LIMIT max.message.bytes=16777216"]],
  [1, { "compression.type": "zstd" }, []],
  [1, { "compression.type": "lz4" }, ["warning KAFKA_COMPRESSION_UNSUPPORTED compression.type=producer"]],
])("%d replicas, %j: %j", (replicas, settings, found) => {
  expect(judge(replicas, settings)).toEqual(found);
});

test("a name for the topic keeps the other names, and is one that Kafka takes", () => {
  const others = [{ schema: "public", table: "b", topic: "other" }];
  const [collision] = judgeName({ schema: "public", table: "A" }, "shop.public.A", ["shop_public.A"], others);
  expect(collision!.steps[0]!.text).toBe('topics: { "public.b": "other", "public.\\"A\\"": "shop.public.A-cdc" }');
  const [long] = judgeName({ schema: "s", table: "t" }, "x".repeat(300), []);
  expect(/"(x[^"]*)"/.exec(long!.steps[0]!.text)![1]).toHaveLength(249);
});

test("room on a disk", () => {
  expect(judgeRoom("/var/log", 1024 ** 3)).toEqual([]);
  expect(judgeRoom("/var/log", 1024 ** 2)).toEqual([
    expect.objectContaining({ code: "DISK_LOW", severity: "warning" }),
  ]);
});
