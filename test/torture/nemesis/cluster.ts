// Who leads what in the cluster, and when it is whole; asked of the brokers themselves, past the proxy.
import { kafkaClient } from "../../../dev/servers/topics.ts";
import { waitFor } from "../../support/wait-for.ts";
import type { World } from "../world.ts";

/**
 * Catching up after brokers of a cluster were down: three Java machines that recover their logs share two cores with
 * Postgres, the load, the daemon, the view and the checks.
 */
export const CLUSTER_BOUND_MS = 60_000;

interface Partition {
  readonly topic: string;
  readonly partition: number;
  /** -1 when there is none. */
  readonly leader: number;
  readonly isr: number;
  readonly replicas: number;
}

/** All partitions of these topics, or of all there are. */
export async function partitionsOf(world: World, topics?: string[]): Promise<Partition[]> {
  const admin = kafkaClient(world.kafka.brokers).admin({ retry: { retries: 0 } }); // who asks waits on their own terms
  await admin.connect();
  try {
    const { topics: found } = await admin.fetchTopicMetadata(topics === undefined ? undefined : { topics });
    return found.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionId, leader, isr, replicas }) => ({
        topic: name,
        partition: partitionId,
        leader,
        isr: isr.length,
        replicas: replicas.length,
      })),
    );
  } finally {
    await admin.disconnect();
  }
}

/** Resolves when every replica of every partition is in sync. */
export async function whole(world: World): Promise<void> {
  let lacking: Partition[] = [];
  await waitFor(
    async () => {
      // Nodes that have just come up refuse, or know no leaders yet.
      const partitions = await partitionsOf(world).catch(() => []);
      lacking = partitions.filter(({ leader, isr, replicas }) => leader < 0 || isr < replicas);
      return partitions.length > 0 && lacking.length === 0;
    },
    { what: "every replica to be in sync", timeout: 90_000 },
  ).catch((cause) => {
    throw new Error(`The cluster did not become whole: ${JSON.stringify(lacking.slice(0, 5))}`, { cause });
  });
}

export const ROLES = ["topic", "progress", "coordinator"] as const;

export type Role = (typeof ROLES)[number];

/** Index of the node that leads what the stream is written to, its progress, or its transactions. */
export async function leaderOf(world: World, role: Role): Promise<number> {
  const topic = { topic: world.topic, progress: `${world.stream}.progress`, coordinator: "__transaction_state" }[role];
  const leader = await waitFor(
    async () => {
      const partitions = await partitionsOf(world, [topic]).catch(() => []);
      const wanted = role === "coordinator" ? javaHash(`afterimage.${world.stream}`) % (partitions.length || 1) : 0;
      const found = partitions.find(({ partition }) => partition === wanted)?.leader ?? -1;
      return found > 0 ? found : null;
    },
    { what: `the leader of ${topic}` },
  );
  return leader - 1;
}

/** `String.hashCode` without its sign: by it a coordinator finds the partition of a transactional id. */
function javaHash(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash & 0x7fffffff;
}
