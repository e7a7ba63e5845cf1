// Faults of the brokers: killed, stopped, frozen, one or several or all of them.
import { waitFor } from "../../support/wait-for.ts";
import type { Fault, World } from "../world.ts";
import { CLUSTER_BOUND_MS, leaderOf, partitionsOf, ROLES, type Role, whole } from "./cluster.ts";
import { number } from "./steps.ts";

const killLeader: Fault = {
  name: "broker-kill-leader",
  needs: "cluster",
  clusterBoundMs: CLUSTER_BOUND_MS,
  plan: (random) => ({
    role: random.pick(ROLES),
    afterMs: random.int(0, 2000),
    downMs: random.pick([0, 1000, 4000, 8000]),
    mode: random.pick(["kill", "kill", "stop"]),
  }),
  async strike(world, { role, afterMs, downMs, mode }) {
    await world.sleep(number(afterMs));
    const node = world.kafka.nodes[await leaderOf(world, role as Role)]!;
    await (mode === "kill" ? node.kill() : node.stop("fast"));
    await world.sleep(number(downMs));
    await node.start();
    await whole(world);
  },
};

/** One that stays takes no records: for want of in-sync replicas, or because nobody could elect leaders any more. */
const twoDown: Fault = {
  name: "two-brokers-down",
  needs: "cluster",
  clusterBoundMs: CLUSTER_BOUND_MS,
  plan: (random) => ({
    stays: random.int(0, 2),
    how: random.pick(["not-enough-replicas", "no-quorum"]),
    downMs: random.int(1000, 6000),
  }),
  async strike(world, { stays, how, downMs }) {
    const [first, second] = world.kafka.nodes.filter((_, index) => index !== stays);
    if (how === "no-quorum") {
      await Promise.all([first!.kill(), second!.kill()]);
    } else {
      await first!.kill();
      await waitFor(
        async () => (await partitionsOf(world, [world.topic]).catch(() => [])).some(({ isr }) => isr === 2),
        { what: "the loss of a replica to be noticed" },
      );
      await second!.stop("fast"); // leaves the in-sync replicas, as long as two controllers agree on it
    }
    const over = world.nothingGetsThrough();
    await world.sleep(number(downMs));
    over();
    await Promise.all([first!.start(), second!.start()]);
    await whole(world);
  },
};

const rolling: Fault = {
  name: "broker-restart-rolling",
  clusterBoundMs: CLUSTER_BOUND_MS,
  plan: (random) => ({
    first: random.int(0, 2),
    mode: random.pick(["fast", "immediate"]),
    downMs: random.int(0, 1500),
  }),
  async strike(world, { first, mode, downMs }) {
    const { nodes } = world.kafka;
    for (let index = 0; index < nodes.length; index++) {
      const node = nodes[(number(first) + index) % nodes.length]!;
      await node.stop(mode as "fast" | "immediate");
      await world.sleep(number(downMs));
      await node.start();
      await whole(world);
    }
  },
};

const freeze: Fault = {
  name: "broker-freeze",
  clusterBoundMs: CLUSTER_BOUND_MS,
  plan: (random) => ({
    role: random.pick(ROLES),
    afterMs: random.int(0, 1500),
    frozenMs: random.pick([500, 1500, 4000, 8000]),
  }),
  async strike(world, { role, afterMs, frozenMs }) {
    await world.sleep(number(afterMs));
    const node = world.kafka.nodes[await leaderOf(world, role as Role)]!;
    node.freeze();
    const over = world.kafka.nodes.length === 1 ? world.nothingGetsThrough() : () => undefined;
    await world.sleep(number(frozenMs));
    over();
    node.thaw();
    await whole(world);
  },
};

const allDown: Fault = {
  name: "kafka-down",
  clusterBoundMs: CLUSTER_BOUND_MS,
  plan: (random) => ({ afterMs: random.int(0, 2000), downMs: random.int(0, 9000) }),
  async strike(world, { afterMs, downMs }) {
    await world.sleep(number(afterMs));
    await Promise.all(world.kafka.nodes.map((node) => node.kill()));
    const over = world.nothingGetsThrough();
    await world.sleep(number(downMs));
    over();
    await startAll(world);
  },
};

/** As when the power fails, but that what was written to files is not lost. */
const allProcesses: Fault = {
  name: "everything-killed",
  clusterBoundMs: CLUSTER_BOUND_MS,
  plan: (random) => ({ afterMs: random.int(0, 3000), postgres: random.pick(["kill", "immediate"]) }),
  async strike(world, { afterMs, postgres }) {
    await world.sleep(number(afterMs));
    await Promise.all([
      world.daemon.kill(),
      world.view.kill(),
      postgres === "kill" ? world.postgres.kill() : world.postgres.stop("immediate"),
      ...world.kafka.nodes.map((node) => node.kill()),
    ]);
    await Promise.all([world.postgres.start(), startAll(world)]);
    await Promise.all([world.startDaemon(), world.startView()]);
  },
};

async function startAll(world: World): Promise<void> {
  await Promise.all(world.kafka.nodes.map((node) => node.start()));
  await whole(world);
}

export const BROKER_FAULTS: readonly Fault[] = [killLeader, twoDown, rolling, freeze, allDown, allProcesses];
