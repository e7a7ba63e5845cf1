// Faults of the way between daemon and brokers: requests and replies that are lost, late, or come when their sender has
// long gone on.
import { API } from "../../support/kafka-proxy.ts";
import type { Fault, World } from "../world.ts";
import { CLUSTER_BOUND_MS } from "./cluster.ts";
import { enters, hasEnded, number, restartDaemon, within } from "./steps.ts";

type ApiName = keyof typeof API;

const key = (name: string | number | undefined): number => API[name as ApiName];

/**
 * Where an answer vanishes and its connection stays open, the daemon waits 20 s for it (kafka/connection.ts), and may
 * then meet another that vanished.
 */
const VANISHED_BOUND_MS = 60_000;

/** How long a reply that is to be lost is waited for. */
const LOSS_MS = 4_000;

/** Longer than a request is waited for. */
const GIVEN_UP_MS = 25_000;

/** A request that reaches the broker late: before its sender gives up, after that, or after its sender's death. */
const holdRequest: Fault = {
  name: "hold-request",
  plan: (random) => ({
    api: random.pick(["endTxn", "endTxn", "endTxn", "produce", "addPartitions", "initProducerId"]),
    until: random.pick(["late", "given-up", "daemon-killed", "daemon-killed"]),
    lateMs: random.int(100, 5000),
    releaseMs: random.int(0, 500),
  }),
  async strike(world, { api, until, lateMs, releaseMs }) {
    const { kafkaProxy: proxy } = world;
    proxy.holdRequest(key(api));
    if (api === "initProducerId") await restartDaemon(world, 0); // sent at a start
    const bit = await within(world, 15_000, () => proxy.held > 0);
    if (bit) {
      if (until === "late") await world.sleep(number(lateMs));
      else await goesOn(world, until === "daemon-killed");
      await world.sleep(number(releaseMs));
    }
    await proxy.heal();
    return bit;
  },
};

/** Until transactions are sent again while the old request is still held. */
async function goesOn(world: World, killed: boolean): Promise<void> {
  const { requests } = world.kafkaProxy;
  const before = requests.length;
  if (killed) {
    await restartDaemon(world, 0);
    await enters(world.daemon, "streaming");
  }
  const sent = () =>
    requests.indexOf(API.addPartitions, requests.indexOf(API.initProducerId, before) + 1 || before) >= 0;
  await within(world, killed ? 10_000 : GIVEN_UP_MS, () => sent() || hasEnded(world.daemon));
}

/** Carried out, but the daemon does not learn of it. */
const holdReply: Fault = {
  name: "hold-reply",
  boundMs: VANISHED_BOUND_MS,
  plan: (random) => ({
    api: random.pick(["endTxn", "endTxn", "produce"]),
    kill: random.int(0, 1),
    heldMs: random.int(200, 4000),
  }),
  async strike(world, { api, kill, heldMs }) {
    world.kafkaProxy.holdReply(key(api));
    await world.sleep(number(heldMs));
    const bit = world.kafkaProxy.planned === 0;
    if (kill === 1) await restartDaemon(world, 0);
    await world.kafkaProxy.heal();
    return bit;
  },
};

function loses(name: string, apis: readonly ApiName[]): Fault {
  return {
    name,
    plan: (random) => ({ api: random.pick(apis), times: random.int(1, 5), everyMs: random.int(50, 1500) }),
    async strike(world, { api, times, everyMs }) {
      let bit = false;
      for (let time = 0; time < number(times); time++) {
        const before = world.kafkaProxy.planned;
        world.kafkaProxy.loseReply(key(api));
        // These are asked for only when something else went wrong, or at a start.
        if (api === "initProducerId" || api === "findCoordinator") world.kafkaProxy.loseReply(API.endTxn);
        if (api === "metadata" || api === "listOffsets" || api === "fetch") await restartDaemon(world, 0);
        await world.sleep(number(everyMs));
        bit ||= world.kafkaProxy.planned <= before;
      }
      bit ||= await within(world, LOSS_MS, () => world.kafkaProxy.planned === 0);
      await world.kafkaProxy.heal();
      return bit;
    },
  };
}

const loseEnd = loses("lose-end-reply", ["endTxn"]);
const loseProduce = loses("lose-produce-reply", ["produce"]);
const loseAny = loses("lose-any-reply", [
  "fetch",
  "listOffsets",
  "metadata",
  "findCoordinator",
  "initProducerId",
  "addPartitions",
]);

const slow: Fault = {
  name: "slow-broker",
  plan: (random) => ({
    node: random.int(-1, 2),
    delayMs: random.pick([5, 50, 400, 1500]),
    bytesPerSecond: random.pick([20_000, 500_000, 100_000_000]),
    slowMs: random.int(1000, 5000),
    kill: random.int(0, 1),
  }),
  async strike(world, { node, delayMs, bytesPerSecond, slowMs, kill }) {
    const { kafkaProxy: proxy } = world;
    const which = number(node) < 0 ? undefined : number(node) % proxy.addresses.length;
    proxy.delay(number(delayMs), which);
    proxy.throttle(number(bytesPerSecond), which);
    await world.sleep(number(slowMs));
    if (kill === 1) await restartDaemon(world, 0);
    await proxy.heal();
  },
};

const cut: Fault = {
  name: "cut-kafka",
  plan: (random) => ({
    times: random.int(1, 8),
    everyMs: random.int(20, 1000),
    refuseMs: random.pick([0, 0, 1500, 8000]),
  }),
  async strike(world, { times, everyMs, refuseMs }) {
    let bit = false;
    for (let time = 0; time < number(times); time++) {
      bit ||= world.kafkaProxy.open > 0;
      world.kafkaProxy.cut();
      await world.sleep(number(everyMs));
    }
    if (number(refuseMs) > 0) {
      world.kafkaProxy.refuse();
      const over = world.nothingGetsThrough();
      await world.sleep(number(refuseMs));
      over();
    }
    await world.kafkaProxy.heal();
    return bit || number(refuseMs) > 0;
  },
};

const halfClose: Fault = {
  name: "half-close-kafka",
  plan: (random) => ({ times: random.int(1, 5), everyMs: random.int(20, 1000) }),
  async strike(world, { times, everyMs }) {
    let bit = false;
    for (let time = 0; time < number(times); time++) {
      bit ||= world.kafkaProxy.open > 0;
      world.kafkaProxy.halfClose();
      await world.sleep(number(everyMs));
    }
    await world.kafkaProxy.heal();
    return bit;
  },
};

/** What is sent vanishes, or arrives when the network is whole again. */
const freeze: Fault = {
  name: "freeze-kafka",
  boundMs: VANISHED_BOUND_MS,
  plan: (random) => ({
    frozenMs: random.int(500, 9000),
    outcome: random.pick(["arrives", "vanishes", "vanishes-and-cut"]),
  }),
  async strike(world, { frozenMs, outcome }) {
    const { kafkaProxy: proxy } = world;
    if (outcome === "arrives") proxy.stall();
    else proxy.freeze();
    const over = world.nothingGetsThrough();
    await world.sleep(number(frozenMs));
    over();
    if (outcome === "vanishes-and-cut") proxy.cut();
    await proxy.heal();
  },
};

/** One broker is out of the daemon's reach, but not of the other brokers': its partitions get no other leader. */
const partition: Fault = {
  name: "unreachable-broker",
  boundMs: CLUSTER_BOUND_MS,
  needs: "cluster",
  plan: (random) => ({ node: random.int(0, 2), awayMs: random.pick([1000, 6000, 23_000]), kill: random.int(0, 1) }),
  async strike(world, { node, awayMs, kill }) {
    world.kafkaProxy.stall(number(node));
    await world.sleep(number(awayMs));
    if (kill === 1) await restartDaemon(world, 0);
    await world.kafkaProxy.heal();
  },
};

/** WAL goes on without events for the stream while nothing can be stored: none of it may be confirmed. */
const awayWithOtherWal: Fault = {
  name: "kafka-away-with-other-wal",
  plan: (random) => ({
    away: random.pick(["refuse", "freeze"]),
    rows: random.int(1000, 20_000),
    messages: random.int(1, 200),
    awayMs: random.int(500, 8000),
  }),
  async strike(world, { away, rows, messages, awayMs }) {
    world.kafkaProxy[away as "refuse" | "freeze"]();
    const over = world.nothingGetsThrough();
    await world.sql(
      `INSERT INTO public.unrelated (value) SELECT repeat('w', 200) FROM generate_series(1, ${number(rows)})`,
    );
    await world.sql(
      `SELECT count(pg_logical_emit_message(g % 2 = 0, 'noise', repeat('m', 500))) FROM generate_series(1, ${number(messages)}) g`,
    );
    await world.sleep(number(awayMs));
    await world.daemon.kill();
    over();
    await world.kafkaProxy.heal();
    await world.startDaemon();
  },
};

// biome-ignore format: one list
export const KAFKA_FAULTS: readonly Fault[] = [
  holdRequest, holdReply, loseEnd, loseProduce, loseAny, slow, cut, halfClose, freeze, partition,
  awayWithOtherWal,
];
