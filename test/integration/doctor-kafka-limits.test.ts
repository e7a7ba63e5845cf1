// Brokers whose limits are too small for the daemon: named with what to set, on a broker of its own.
import { expect, onTestFinished, test } from "vitest";
import { startKafkaCluster } from "../../dev/servers/kafka-cluster.ts";
import { loadConfig } from "../../src/config/config.ts";
import { runDoctor } from "../../src/daemon/doctor.ts";
import { createDatabase, uniqueStream } from "../support/database.ts";

test("transactions that may last 30 s only, and requests below a batch", async () => {
  const properties = { "transaction.max.timeout.ms": "30000", "socket.request.max.bytes": "1000000" };
  const [cluster, database] = await Promise.all([startKafkaCluster({ nodes: 1, properties }), createDatabase()]);
  onTestFinished(async () => {
    await cluster.remove();
    await database.drop();
  });
  const flags = {
    stream: uniqueStream(),
    "postgres.url": database.url,
    "kafka.brokers": cluster.brokers.join(","),
    "startup.wait": "0ms",
  };
  const findings = (await runDoctor(loadConfig({ env: {}, flags }))).filter(({ severity }) => severity === "error");
  expect(findings).toMatchObject([
    { code: "KAFKA_TRANSACTION_TIMEOUT_REFUSED", what: expect.stringMatching(/^Broker \d+ .*30000 ms/) },
    { code: "KAFKA_REQUEST_LIMIT", what: expect.stringContaining("1000000 bytes") },
  ]);
  for (const { steps } of findings) expect(steps).toEqual([{ kind: "restart", text: "Kafka" }]);
});
