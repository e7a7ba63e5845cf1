// SIGKILL at the steps that only trouble with Kafka leads to: a lost reply, a refused record.
import { afterAll, beforeAll, describe, test } from "vitest";
import type { Failpoint } from "../../../src/failpoint.ts";
import { CapturedStream } from "../../support/captured-stream.ts";
import type { Kills } from "../../support/failpoints/kills.ts";
import { API, KafkaProxy } from "../../support/kafka-proxy.ts";
import { kafkaClient } from "../../support/topics.ts";
import { expectNothingConfirmedEarly, expectWhole } from "./guarantees.ts";
import { SETTINGS, SETUP, Workload } from "./workload.ts";

const AFTER_A_LOST_REPLY: readonly Failpoint[] = [
  "publisher.ambiguous",
  "publisher.reinitialised",
  "publisher.read-back",
];

export function killInKafkaTrouble(kills: Kills): void {
  describe("trouble with Kafka", () => {
    let proxy: KafkaProxy;
    let stream: CapturedStream;
    let workload: Workload;
    const spawn = (environment: Record<string, string>) => stream.spawn(environment);

    beforeAll(async () => {
      proxy = await KafkaProxy.start();
      const brokers = { AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(",") };
      stream = await CapturedStream.create(SETUP, { ...SETTINGS, ...brokers });
      workload = new Workload(stream.database.url);
      await workload.during(() => stream.published());
      await stream.daemon.kill();
    });
    afterAll(async () => {
      await stream?.drop();
      await proxy?.close();
    });

    // Without the reply to EndTxn the batch is there; without one to Produce it is not, and is sent again.
    test.each(AFTER_A_LOST_REPLY.flatMap((name) => (["endTxn", "produce"] as const).map((reply) => ({ name, reply }))))(
      "killed at $name, the reply to $reply lost",
      async ({ name, reply }) => {
        proxy.loseReply(API[reply]);
        await workload.during(() => kills.at(name, spawn));
        await expectNothingConfirmedEarly(stream);
      },
    );

    test("killed at publisher.refused: once the topic takes the record, it goes on", async () => {
      await limitRecords(`${stream.stream}.public.t`, 100_000);
      await stream.sql("INSERT INTO t VALUES (1, 'larger than the topic takes', repeat('x', 200000))");
      await kills.at("publisher.refused", spawn);
      await expectNothingConfirmedEarly(stream);
      await limitRecords(`${stream.stream}.public.t`, 16 * 1024 * 1024);
    });

    test("afterwards every change is there once, in order", async () => {
      await stream.start();
      await expectWhole(stream, ["t", "u"]);
    });
  });
}

async function limitRecords(topic: string, bytes: number): Promise<void> {
  const admin = kafkaClient().admin();
  await admin.connect();
  try {
    const configEntries = [
      { name: "max.message.bytes", value: String(bytes) },
      { name: "message.timestamp.type", value: "LogAppendTime" },
      { name: "retention.ms", value: "-1" },
    ];
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: topic, configEntries }] });
  } finally {
    await admin.disconnect();
  }
}
