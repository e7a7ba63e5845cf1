// SIGKILL at each failpoint, on real servers: nothing lost, nothing twice, nothing out of order, nothing confirmed
// early; and every failpoint there is was reached.
import { afterAll, expect, test } from "vitest";
import { FAILPOINTS } from "../../src/failpoint.ts";
import { Kills } from "../support/failpoints/kills.ts";
import { killAtFirstStart } from "./failpoints/first-start.ts";
import { killInKafkaTrouble } from "./failpoints/kafka-trouble.ts";
import { killWhileReading } from "./failpoints/snapshot.ts";
import { killWhileStreaming } from "./failpoints/streaming.ts";
import { killView } from "./failpoints/view.ts";

const kills = new Kills();
afterAll(() => kills.remove());

killAtFirstStart(kills);
killWhileStreaming(kills);
killInKafkaTrouble(kills);
killWhileReading(kills);
killView(kills);

test("a process was killed at every failpoint, and the counts name each of them", () => {
  expect(kills.missing()).toEqual([]);
  expect(kills.unreached()).toEqual([]);
  console.info(`${FAILPOINTS.length} failpoints, ${kills.count} kills, reached ${kills.reached()} times`);
});
