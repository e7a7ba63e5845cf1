// Faults of the processes: killed, stopped for a while, doubled, and told a wrong time.
import { FAILPOINTS, type Failpoint } from "../../../src/failpoint.ts";
import { armed } from "../../support/failpoints/armed.ts";
import type { Fault, World } from "../world.ts";
import {
  type Drawing,
  enters,
  hasEnded,
  isStopped,
  number,
  restartDaemon,
  restartView,
  stopProcess,
  terminateWalsender,
  within,
} from "./steps.ts";

const CLOCK_STEPS = new URL("../../support/clock-steps.ts", import.meta.url).href;
const DAY_MS = 86_400_000;

const isOfView = (name: string) => /^(store|consumer|applier)\./.test(name);
/** When a stream, or a view's file, is there already, nothing takes these steps any more. */
const FIRST_START = /^(drop|publication|slot)\.|^progress\.first-stored$|^store\.setup-made$/;
const OF_VIEW = FAILPOINTS.filter((name) => isOfView(name) && !FIRST_START.test(name));
const OF_DAEMON = FAILPOINTS.filter((name) => !isOfView(name) && !FIRST_START.test(name));

/** A process takes them once, or once for each of its sessions. */
const ONCE =
  /^(daemon|session|topics|progress)\.|^producer\.initialised$|^store\.(token|checkpoints)|^consumer\.(positions|stop)/;

const NTH = [1, 1, 1, 2, 3, 5, 20, 100] as const;

function moment(random: Drawing, failpoints: readonly Failpoint[]) {
  const failpoint = random.pick(failpoints);
  const nth = random.pick(NTH);
  return { failpoint, nth: ONCE.test(failpoint) ? 1 : nth };
}

const killDaemon: Fault = {
  name: "kill-daemon",
  plan: (random) => ({
    afterMs: random.int(0, 1200),
    downMs: random.pick([0, 0, 0, 100, 1000]),
    times: random.pick([1, 1, 2]),
  }),
  async strike(world, { afterMs, downMs, times }) {
    let bit = true;
    for (let time = 0; time < number(times); time++) {
      await world.sleep(number(afterMs));
      bit &&= !hasEnded(world.daemon);
      await restartDaemon(world, number(downMs));
    }
    return bit;
  },
};

const killDaemonWhileStarting: Fault = {
  name: "kill-daemon-while-starting",
  plan: (random) => ({ times: random.int(3, 6), firstMs: random.int(200, 1500), stepMs: random.int(-200, 300) }),
  async strike(world, { times, firstMs, stepMs }) {
    for (let time = 0; time < number(times); time++) {
      await restartDaemon(world, 0);
      await world.sleep(Math.max(0, number(firstMs) + time * number(stepMs)));
    }
    await restartDaemon(world, 0);
  },
};

/** Most failpoints are passed within it, from the start of the process on. */
const REACHED_MS = 3_000;

type Provocation = (world: World) => unknown;

/** Some steps are taken only when something goes wrong. */
const PROVOCATIONS: Readonly<Record<string, Provocation>> = {
  nothing: () => undefined,
  "cut-kafka": (world) => world.kafkaProxy.cut(),
  "cut-postgres": (world) => world.postgresProxy.cut(),
  "terminate-walsender": terminateWalsender,
  stop: (world) => world.daemon.signal("SIGTERM"),
};

const killDaemonAtFailpoint: Fault = {
  name: "kill-daemon-at-failpoint",
  plan: (random) => ({
    ...moment(random, OF_DAEMON),
    provocation: random.pick(["nothing", "nothing", ...Object.keys(PROVOCATIONS)]),
  }),
  async strike(world, { failpoint, nth, provocation }) {
    await world.daemon.kill();
    const daemon = await world.startDaemon(armed(failpoint as Failpoint, number(nth), "kill", "/dev/null"));
    if (!(await within(world, REACHED_MS, () => hasEnded(daemon)))) {
      await PROVOCATIONS[String(provocation)]!(world);
      await within(world, REACHED_MS, () => hasEnded(daemon));
    }
    const bit = daemon.child.signalCode === "SIGKILL";
    await restartDaemon(world, 0);
    return bit;
  },
};

const killView: Fault = {
  name: "kill-view",
  plan: (random) => ({
    afterMs: random.int(0, 1000),
    downMs: random.pick([0, 0, 200, 1500]),
    times: random.int(1, 3),
  }),
  async strike(world, { afterMs, downMs, times }) {
    let bit = true;
    for (let time = 0; time < number(times); time++) {
      await world.sleep(number(afterMs));
      bit &&= !hasEnded(world.view);
      await restartView(world, number(downMs));
    }
    return bit;
  },
};

const killViewAtFailpoint: Fault = {
  name: "kill-view-at-failpoint",
  plan: (random) => moment(random, OF_VIEW),
  async strike(world, { failpoint, nth }) {
    await world.view.kill();
    const view = await world.startView(armed(failpoint as Failpoint, number(nth), "kill", "/dev/null"));
    if (!(await within(world, REACHED_MS, () => hasEnded(view)))) {
      view.signal("SIGTERM"); // some steps are taken at its end only
      await within(world, REACHED_MS, () => hasEnded(view));
    }
    const bit = view.child.signalCode === "SIGKILL";
    await restartView(world, 0);
    return bit;
  },
};

const pauseView: Fault = {
  name: "pause-view",
  plan: (random) => ({ pauseMs: random.int(500, 5000) }),
  async strike(world, { pauseMs }) {
    world.view.signal("SIGSTOP");
    await world.sleep(number(pauseMs));
    world.view.signal("SIGCONT");
  },
};

const killBoth: Fault = {
  name: "kill-both",
  plan: (random) => ({ afterMs: random.int(0, 1200), downMs: random.int(0, 1000) }),
  async strike(world, { afterMs, downMs }) {
    await world.sleep(number(afterMs));
    const bit = !hasEnded(world.daemon) && !hasEnded(world.view);
    await Promise.all([restartDaemon(world, number(downMs)), restartView(world, number(downMs))]);
    return bit;
  },
};

const stopDaemon: Fault = {
  name: "stop-daemon",
  plan: (random) => ({
    signal: random.pick(["SIGTERM", "SIGINT"]),
    afterMs: random.int(0, 2000),
    downMs: random.int(0, 3000),
  }),
  async strike(world, { signal, afterMs, downMs }) {
    await world.sleep(number(afterMs));
    const stopped = { signal: signal as NodeJS.Signals };
    const { code, signal: by } = await stopProcess(world.daemon, "daemon", stopped);
    if (code !== 0)
      throw new Error(`A stop asked for ended with ${code ?? by}:\n${world.daemon.output().slice(-2000)}`);
    await world.sleep(number(downMs));
    await world.startDaemon();
  },
};

/** Longer than wal_sender_timeout as well as shorter. */
const pauseDaemon: Fault = {
  name: "pause-daemon",
  plan: (random) => ({ afterMs: random.int(0, 1500), pauseMs: random.pick([500, 2500, 4000, 7000]) }),
  async strike(world, { afterMs, pauseMs }) {
    await world.sleep(number(afterMs));
    world.daemon.signal("SIGSTOP");
    await world.sleep(number(pauseMs));
    world.daemon.signal("SIGCONT");
  },
};

/** Where it stands in the middle of a Kafka transaction, or just before or behind one. */
// biome-ignore format: one list
const IN_TRANSACTION: readonly Failpoint[] = [
  "producer.initialised", "publisher.before-begin", "publisher.partitions-added", "appender.before-produce",
  "appender.produced", "publisher.events-produced", "publisher.progress-produced", "producer.before-end",
  "publisher.committed",
];

/** The second takes over while the first is stopped; the first has to step back when it goes on. */
const pauseDaemonWithSecond: Fault = {
  name: "pause-daemon-with-second",
  plan: (random) => ({
    at: random.pick(["anywhere", ...IN_TRANSACTION]),
    nth: random.pick(NTH),
    afterMs: random.int(0, 1500),
    streamsMs: random.int(0, 1500),
    survivor: random.pick(["first", "second"]),
  }),
  async strike(world, { at, nth, afterMs, streamsMs, survivor }) {
    if (at !== "anywhere") {
      await world.daemon.kill();
      await world.startDaemon(armed(at as Failpoint, number(nth), "stop", "/dev/null"));
    }
    const first = world.daemon;
    await within(world, 60_000, () => first.output().includes('"state":"streaming"') || isStopped(first));
    const second = await world.startSecond();
    let waking: NodeJS.Timeout | undefined;
    try {
      if (at === "anywhere") {
        await enters(second.daemon, "standby");
        await world.sleep(number(afterMs));
      }
      const reached = at === "anywhere" || (await within(world, 8000, () => isStopped(first)));
      first.signal("SIGSTOP");
      const said = first.output().length;
      await enters(second.daemon, "streaming");
      await world.sleep(number(streamsMs));
      // One that did not reach the failpoint in time may still stop there, and then be of no use as the one that stays.
      waking = setInterval(() => first.signal("SIGCONT"), 100);
      await enters(first, "standby", said);
      if (survivor === "first" && reached) {
        const before = first.output().length;
        await second.daemon.kill();
        await enters(first, "streaming", before);
      } else {
        await first.kill();
        second.promote();
      }
    } catch (error) {
      await second.daemon.kill();
      throw error;
    } finally {
      clearInterval(waking);
    }
  },
};

const twoDaemons: Fault = {
  name: "two-daemons",
  plan: (random) => ({ afterMs: random.int(0, 2000), signal: random.pick(["SIGKILL", "SIGTERM"]) }),
  async strike(world, { afterMs, signal }) {
    await enters(world.daemon, "streaming");
    const second = await world.startSecond();
    try {
      await enters(second.daemon, "standby");
      await world.sleep(number(afterMs));
      await stopProcess(world.daemon, "daemon", { signal: signal as NodeJS.Signals });
      await enters(second.daemon, "streaming");
      second.promote();
    } catch (error) {
      await second.daemon.kill();
      throw error;
    }
  },
};

/** Of the daemon alone: its clock jumps by a day, forth and back, several times a second. */
const clockStep: Fault = {
  name: "clock-step",
  plan: (random) => ({
    steps: Array.from({ length: random.int(2, 5) }, () => random.pick([-DAY_MS, -3_600_000, -1000, 0, DAY_MS])).join(
      ",",
    ),
    everyMs: random.int(100, 1000),
    runMs: random.int(3000, 7000),
    signal: random.pick(["SIGKILL", "SIGTERM"]),
  }),
  async strike(world, { steps, everyMs, runMs, signal }) {
    await world.daemon.kill();
    await world.startDaemon({ NODE_OPTIONS: `--import=${CLOCK_STEPS}`, CLOCK_STEPS: `${steps}:${everyMs}` });
    await enters(world.daemon, "streaming");
    await world.sleep(number(runMs));
    await world.caughtUp(60_000);
    await restartDaemon(world, 0, signal as NodeJS.Signals);
  },
};

// biome-ignore format: one list
export const PROCESS_FAULTS: readonly Fault[] = [
  killDaemon, killDaemonWhileStarting, killDaemonAtFailpoint, killView, killViewAtFailpoint, pauseView, killBoth,
  stopDaemon, pauseDaemon, pauseDaemonWithSecond, twoDaemons, clockStep,
];
