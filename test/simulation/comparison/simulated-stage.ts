// The simulated broker as the stage of a script, which reaches it through the product's own connection. The seed decides how
// long answers and markers take.
import { KafkaConnection } from "../../../src/kafka/connection.ts";
import { seeded } from "../../torture/random.ts";
import { Cluster } from "../kafka/cluster.ts";
import { Network } from "../network.ts";
import { type Process, Scheduler } from "../scheduler.ts";
import type { Stage } from "./script.ts";

const TOPIC = "topic";
const LONGEST_MS = 600_000;

export async function playSimulated(script: (stage: Stage) => Promise<string[]>, seed: number): Promise<string[]> {
  const scheduler = new Scheduler();
  const random = seeded(`stage ${seed}`);
  const cluster = new Cluster(scheduler, random.fork("kafka"), { nodes: 1, markerMs: 5 });
  cluster.createTopic(TOPIC, 2);
  const network = new Network(scheduler, cluster, random.fork("network"), null);
  const process: Process = { name: "script", dead: false, paused: false };
  let lines: string[] | null = null;
  let failure: unknown;
  scheduler.after(0, process, () => {
    KafkaConnection.connect({ brokers: ["node:1"], clientId: "script" }, undefined, network.opener(process))
      .then((connection) => script({ connection, topic: TOPIC, transactionalId: "id" }))
      .then(
        (played) => {
          lines = played;
        },
        (error) => {
          failure = error;
        },
      );
  });
  await scheduler.runUntil(() => lines !== null || failure !== undefined, LONGEST_MS);
  if (lines === null) {
    throw failure ?? new Error("The script came to no end.");
  }
  return lines;
}
