// Faults of the database server and of the way to it.
import type { Fault, World } from "../world.ts";
import { number, restartDaemon, terminateWalsender } from "./steps.ts";

const terminate: Fault = {
  name: "terminate-walsender",
  plan: (random) => ({ times: random.int(3, 20), everyMs: random.pick([20, 150, 500, 1000]) }),
  async strike(world, { times, everyMs }) {
    let bit = false;
    for (let time = 0; time < number(times); time++) {
      bit = (await terminateWalsender(world)) || bit;
      await world.sleep(number(everyMs));
    }
    return bit;
  },
};

function restarts(name: string, stop: (world: World) => Promise<void>): Fault {
  return {
    name,
    plan: (random) => ({ afterMs: random.int(0, 2000), downMs: random.pick([0, 500, 4000]), times: random.int(1, 2) }),
    async strike(world, { afterMs, downMs, times }) {
      for (let time = 0; time < number(times); time++) {
        await world.sleep(number(afterMs));
        await stop(world);
        await world.sleep(number(downMs));
        await world.postgres.start();
      }
    },
  };
}

const immediate = restarts("postgres-immediate", ({ postgres }) => postgres.stop("immediate"));
const fast = restarts("postgres-fast", ({ postgres }) => postgres.stop("fast"));
const kill = restarts("postgres-kill", ({ postgres }) => postgres.kill());

/** Old minor versions removed WAL that the slot still needed when it was confirmed during the checkpoint. */
const checkpointThenImmediate: Fault = {
  name: "checkpoint-then-immediate",
  plan: (random) => ({ checkpoints: random.int(1, 5), everyMs: random.int(0, 400), switchWal: random.int(0, 1) }),
  async strike(world, { checkpoints, everyMs, switchWal }) {
    for (let time = 0; time < number(checkpoints); time++) {
      if (switchWal === 1) await world.sql("SELECT pg_switch_wal()");
      await world.sql("CHECKPOINT");
      await world.sleep(number(everyMs));
    }
    await world.postgres.stop("immediate");
    await world.postgres.start();
  },
};

/** The slot falls back, and the daemon that knew better is gone. */
const postgresAndDaemon: Fault = {
  name: "postgres-and-daemon",
  plan: (random) => ({ afterMs: random.int(0, 2000), how: random.pick(["immediate", "kill"]) }),
  async strike(world, { afterMs, how }) {
    await world.sleep(number(afterMs));
    await Promise.all([how === "kill" ? world.postgres.kill() : world.postgres.stop("immediate"), world.daemon.kill()]);
    await world.postgres.start();
    await world.startDaemon();
  },
};

const freeze: Fault = {
  name: "postgres-freeze",
  plan: (random) => ({ afterMs: random.int(0, 1500), frozenMs: random.int(500, 6000) }),
  async strike(world, { afterMs, frozenMs }) {
    await world.sleep(number(afterMs));
    world.postgres.freeze();
    await world.sleep(number(frozenMs));
    world.postgres.thaw();
  },
};

const cut: Fault = {
  name: "cut-postgres",
  plan: (random) => ({
    times: random.int(1, 6),
    everyMs: random.int(50, 1200),
    refuseMs: random.pick([0, 0, 1000, 3000]),
  }),
  async strike(world, { times, everyMs, refuseMs }) {
    let bit = false;
    for (let time = 0; time < number(times); time++) {
      bit ||= world.postgresProxy.open > 0;
      world.postgresProxy.cut();
      await world.sleep(number(everyMs));
    }
    if (number(refuseMs) > 0) {
      world.postgresProxy.refuse();
      await world.sleep(number(refuseMs));
    }
    world.postgresProxy.heal();
    return bit || number(refuseMs) > 0;
  },
};

const halfClose: Fault = {
  name: "half-close-postgres",
  plan: (random) => ({ times: random.int(1, 3), everyMs: random.int(100, 1500) }),
  async strike(world, { times, everyMs }) {
    let bit = false;
    for (let time = 0; time < number(times); time++) {
      bit ||= world.postgresProxy.open > 0;
      world.postgresProxy.halfClose();
      await world.sleep(number(everyMs));
    }
    world.postgresProxy.heal();
    return bit;
  },
};

/** 30 s of silence until a replication connection counts as lost, and 60 s for a query (source/session.ts). */
const SILENCE_BOUND_MS = 120_000;

/** The connections die without a word: the daemon has to notice by itself. */
const halfOpen: Fault = {
  name: "half-open-postgres",
  boundMs: SILENCE_BOUND_MS,
  plan: (random) => ({ deadMs: random.int(500, 5000), kill: random.int(0, 1) }),
  async strike(world, { deadMs, kill: killed }) {
    world.postgresProxy.freeze();
    await world.sleep(number(deadMs));
    world.postgresProxy.heal();
    // Half of the time by a new process, which finds the slot held by a connection that nobody is behind.
    if (killed === 1) await restartDaemon(world, 0);
  },
};

/** Everything is late, but nothing is lost. */
const stall: Fault = {
  name: "stall-postgres",
  plan: (random) => ({ stalledMs: random.int(500, 6000) }),
  async strike(world, { stalledMs }) {
    world.postgresProxy.stall();
    await world.sleep(number(stalledMs));
    world.postgresProxy.heal();
  },
};

const slow: Fault = {
  name: "slow-postgres",
  plan: (random) => ({
    delayMs: random.pick([0, 20, 200]),
    bytesPerSecond: random.pick([20_000, 200_000, 2_000_000]),
    slowMs: random.int(2000, 6000),
    kill: random.int(0, 1),
  }),
  async strike(world, { delayMs, bytesPerSecond, slowMs, kill: killed }) {
    world.postgresProxy.delay(number(delayMs));
    world.postgresProxy.throttle(number(bytesPerSecond));
    await world.sleep(number(slowMs));
    if (killed === 1) await restartDaemon(world, 0);
    world.postgresProxy.heal();
  },
};

// biome-ignore format: one list
export const POSTGRES_FAULTS: readonly Fault[] = [
  terminate, immediate, fast, kill, checkpointThenImmediate, postgresAndDaemon, freeze, cut, halfClose, halfOpen, stall,
  slow,
];
