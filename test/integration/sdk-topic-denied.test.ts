// A broker that lags behind says of a topic in use that it does not know it.
import { expect, onTestFinished, test } from "vitest";
import { uniqueStream } from "../support/database.ts";
import { KafkaProxy } from "../support/kafka-proxy.ts";
import { mirror, openWriter, row, start, TABLE, temporaryFile } from "../support/products-view.ts";
import { waitFor } from "../support/wait-for.ts";

test("a topic that a broker denies for a moment is read on; one that stays away is given up after five seconds", async () => {
  const stream = uniqueStream();
  const proxy = await KafkaProxy.start();
  onTestFinished(() => proxy.close());
  const writer = await openWriter(stream);
  const view = start(stream, temporaryFile(), mirror, proxy.addresses);
  await writer.publish(TABLE, [{ insert: row(1, "lamp") }]);
  await view.reaches(1);
  proxy.hide(`${stream}.public.products`);
  await writer.publish(TABLE, [{ insert: row(2, "sofa") }]);
  await waitFor(() => proxy.denied >= 2, { what: "two denials" });
  expect(view.consumer.position().sequence).toBe(1); // may be another topic by now, as far as the consumer knows
  proxy.show();
  await view.reaches(2);
  await waitFor(() => view.consumer.position().state === "live", { what: "the state live" });
  expect(view.said).toEqual([
    `KAFKA_NOT_READY: Topic ${stream}.public.products is being read, but a broker does not know it. Trying again.`,
    "Kafka answers again.",
  ]);
  const begun = performance.now();
  proxy.hide(`${stream}.public.products`);
  await expect(view.ended).rejects.toMatchObject({ code: "TOPIC_MISSING" });
  expect(performance.now() - begun).toBeGreaterThan(4_900);
});
