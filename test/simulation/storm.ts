// What goes wrong in a run, and when: each seed takes some kinds of faults and leaves out others, so that rare ones meet
// in quiet company as well as in a crowd. After the storm everything is healed and one daemon at least is left alive.
import type { Random } from "../torture/random.ts";
import type { SimulatedDaemon } from "./daemon.ts";
import type { Cluster } from "./kafka/cluster.ts";
import { type Network, NO_NETWORK_FAULTS } from "./network.ts";
import type { PostgresServer } from "./postgres/server.ts";
import type { Process, Scheduler } from "./scheduler.ts";

interface StormWorld {
  readonly scheduler: Scheduler;
  readonly cluster: Cluster;
  readonly network: Network;
  readonly server: PostgresServer;
  readonly trace: (text: string) => void;
}

export const FAULTS = [
  "kill",
  "kill-at-step",
  "stop",
  "pause",
  "pause-at-step",
  "postgres-crash",
  "walsender-ends",
  "connection-silent",
  "node-away",
  "leaders-move",
  "coordinator-moves",
  "markers-held",
  "markers-lost",
] as const;

type Fault = (typeof FAULTS)[number];

/** Between the slot and the first frame. */
const START_STEPS = /^(session|topics|producer|progress|publisher)\./;
/** Of a settlement, and of what leads to it. */
const SETTLING_STEPS = /^(producer\.|publisher\.ambiguous)/;
/** Between an open outcome and its settlement. */
const DOUBT_STEPS = /^publisher\.(ambiguous|reinitialised)$/;

const CHECKPOINT_MS = 700;

export class Storm {
  readonly counts = new Map<string, number>();
  readonly endsAt: number;
  readonly #random: Random;
  readonly #world: StormWorld;
  readonly #newDaemon: (name: string) => SimulatedDaemon;
  readonly #kinds: readonly Fault[];
  readonly #daemons: SimulatedDaemon[] = [];
  #names = 0;
  /** What happens to the daemon that reaches a failpoint after so many others. */
  #ambush: { left: number; readonly steps: RegExp; readonly how: "kill" | "pause" } | null = null;
  #over = false;

  constructor(random: Random, world: StormWorld, newDaemon: (name: string) => SimulatedDaemon) {
    this.#random = random;
    this.#world = world;
    this.#newDaemon = newDaemon;
    this.endsAt = random.pick([300, 1_500, 4_000, 15_000]);
    this.#kinds = FAULTS.filter(() => random.chance(0.35));
  }

  get isOver(): boolean {
    return this.#over;
  }

  begin(): void {
    const { scheduler, server, network } = this.#world;
    const random = this.#random;
    if (random.chance(0.6)) {
      const some = (most: number) => (random.chance(0.5) ? random.int(1, most) / 1_000 : 0);
      network.faults = { lostRequest: some(40), lostReply: some(60), lateRequest: some(60), slow: some(20) };
    }
    if (random.chance(0.5)) {
      server.createSlot();
    }
    this.#write(random.int(1, 6));
    this.#start();
    if (random.chance(0.3)) {
      this.#start();
    }
    const writes = random.int(3, 14);
    for (let left = writes; left > 0; left--) {
      scheduler.after(random.int(0, this.endsAt), null, () => this.#write(random.pick([1, 1, 2, 6])));
    }
    for (let left = this.#kinds.length === 0 ? 0 : random.int(1, 8); left > 0; left--) {
      const kind = random.pick(this.#kinds);
      scheduler.after(random.int(0, this.endsAt), null, () => this.#strike(kind));
    }
    scheduler.after(this.endsAt, null, () => this.#heal());
    this.#checkpointNow();
  }

  daemonOf(process: Process): SimulatedDaemon {
    return this.#daemons.find((one) => one.process === process)!;
  }

  /** A process has reached a step. */
  reached(name: string, process: Process): void {
    const ambush = this.#ambush;
    if (ambush?.steps.test(name) && ambush.left-- <= 0) {
      this.#ambush = null;
      const daemon = this.daemonOf(process);
      ambush.how === "kill" ? this.#kill(daemon, `at ${name}`) : this.#pause(daemon, `at ${name}`, true);
    }
  }

  #write(count: number): void {
    const { server } = this.#world;
    if (!server.isUp) {
      return;
    }
    for (let left = count; left > 0; left--) {
      this.#random.chance(0.2) ? server.writeOther() : server.commit();
      if (this.#random.chance(0.04)) {
        server.addColumn();
      }
    }
  }

  #start(): void {
    const daemon = this.#newDaemon(`daemon-${++this.#names}`);
    this.#daemons.push(daemon);
    daemon.start();
  }

  #kill(daemon: SimulatedDaemon, why: string): void {
    daemon.kill(why, this.#random.chance(0.9));
    this.#world.scheduler.after(this.#random.int(1, 800), null, () => this.#start());
  }

  /** SIGSTOP, and later SIGCONT. `isReplaced`: its walsender is ended meanwhile, so that another takes over. */
  #pause(daemon: SimulatedDaemon, why: string, isReplaced: boolean): void {
    const { scheduler, trace } = this.#world;
    const { process } = daemon;
    if (process.paused) {
      return;
    }
    process.paused = true;
    trace(`${process.name}: is suspended ${why}`);
    scheduler.after(this.#random.pick([50, 1_000, 20_000, 70_000]), null, () => scheduler.resume(process));
    if (isReplaced) {
      const isTold = this.#random.chance(0.5);
      scheduler.after(this.#random.int(1, 500), null, () =>
        isTold ? daemon.walsender?.terminate("57P01") : daemon.walsender?.vanish(),
      );
      this.#start();
    }
  }

  #strike(kind: Fault): void {
    const random = this.#random;
    const { scheduler, cluster, network, server } = this.#world;
    const alive = this.#daemons.filter(({ over }) => !over);
    const daemon = alive.length === 0 ? null : random.pick(alive);
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    switch (kind) {
      case "kill":
        if (daemon !== null) {
          this.#kill(daemon, "");
        }
        return;
      case "kill-at-step":
        this.#ambush = { left: random.int(0, 120), steps: /./, how: "kill" };
        return;
      case "pause-at-step":
        if (random.chance(0.6)) {
          this.#ambush = { left: random.int(0, 12), steps: START_STEPS, how: "pause" };
        } else {
          network.doomed = random.pick(["EndTxn", "Produce"]);
          this.#ambush = { left: random.int(0, 1), steps: DOUBT_STEPS, how: "pause" };
        }
        return;
      case "stop":
        if (daemon !== null && alive.length > 0) {
          daemon.stop();
          scheduler.after(random.int(1, 6_000), null, () => this.#start());
        }
        return;
      case "pause":
        if (daemon !== null) {
          this.#pause(daemon, "", random.chance(0.7));
        }
        return;
      case "postgres-crash":
        if (server.isUp) {
          server.crash();
          scheduler.after(random.int(1, 2_000), null, () => server.start());
        }
        return;
      case "walsender-ends":
        daemon?.walsender?.terminate(random.pick(["57P01", "ECONNRESET"]));
        return;
      case "connection-silent":
        daemon?.walsender?.fallSilent();
        return;
      case "node-away": {
        const node = random.pick(cluster.nodes);
        cluster.stop(node);
        network.cutNode(node);
        scheduler.after(random.int(1, 5_000), null, () => cluster.start(node));
        return;
      }
      case "leaders-move":
        cluster.moveLeaders();
        return;
      case "coordinator-moves":
        cluster.moveCoordinator();
        return;
      case "markers-held":
        cluster.markersHeldUntil = scheduler.now + random.int(1, 2_000);
        return;
      case "markers-lost": {
        const lasting = random.int(1, 2_000);
        cluster.markersLost = { until: scheduler.now + lasting, chance: random.pick([0.3, 0.7, 1]) };
        if (random.chance(0.4)) {
          const how = random.chance(0.7) ? "kill" : "pause";
          scheduler.after(random.int(0, lasting), null, () => {
            this.#ambush = { left: random.int(0, 6), steps: SETTLING_STEPS, how };
          });
        }
        return;
      }
      default:
        throw kind satisfies never;
    }
  }

  #heal(): void {
    const { scheduler, cluster, network, server, trace } = this.#world;
    trace("the storm is over");
    network.faults = NO_NETWORK_FAULTS;
    network.doomed = null;
    cluster.markersLost = { until: 0, chance: 0 };
    this.#ambush = null;
    for (const node of cluster.nodes) {
      cluster.start(node);
    }
    if (!server.isUp) {
      server.start();
    }
    for (const { process } of this.#daemons) {
      if (process.paused) {
        scheduler.resume(process);
      }
    }
    if (this.#daemons.every(({ over }) => over)) {
      this.#start();
    }
    this.#write(1);
    this.#over = true;
  }

  #checkpointNow(): void {
    const { scheduler, server } = this.#world;
    scheduler.after(this.#random.int(1, CHECKPOINT_MS), null, () => {
      if (!this.#over) {
        server.checkpoint();
        this.#checkpointNow();
      }
    });
  }
}
