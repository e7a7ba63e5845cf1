// One history: load on real servers, one fault after the other, and then everything that was observed, for the checker.
import { setTimeout as sleep } from "node:timers/promises";
import { waitFor } from "../../dev/servers/wait-for.ts";
import { messageOf } from "../../src/errors.ts";
import { Follower } from "./collect-kafka.ts";
import { createOracleSlot } from "./collect-postgres.ts";
import { inTime } from "./deadline.ts";
import type { RoundTimes, Verified, ViewLook } from "./evidence.ts";
import { type Gathered, gather } from "./gather.ts";
import { Misses } from "./misses.ts";
import { FAULTS } from "./nemesis/faults.ts";
import { stopProcess } from "./nemesis/steps.ts";
import type { HistoryPlan, PlannedRound } from "./plan.ts";
import { seeded } from "./random.ts";
import { CANARY, type RealWorld } from "./real-world.ts";
import { appliedCount, lookAtView } from "./view-reader.ts";
import { Workload } from "./workload/workload.ts";
import type { Fault } from "./world.ts";

const STREAMING_MS = 60_000;
const FINAL_MS = 120_000;
const VERIFY_MS = 180_000;
const LOOK_MS = 300;
/** Transactions a second, and the most rows of one: what two cores with all servers on them can catch up with. */
const LOAD = { 1: { rate: 40, bulkRows: 6_000 }, 3: { rate: 20, bulkRows: 3_000 } };
/** After a fault is healed, unless it says otherwise. */
const BOUND_MS = 30_000;
/** Longer than everything that a strike waits for with a limit of its own. */
const STRIKE_MS = 240_000;
/** A fault that came to nothing is tried so often. */
const STRIKES = 2;

export interface HistoryResult extends Gathered {
  readonly plan: HistoryPlan;
  readonly rounds: readonly RoundTimes[];
  /** Processes whose output held the canary password. */
  readonly leaks: readonly string[];
  /** What kept the history from coming to its end, and what went wrong after that. */
  readonly failures: readonly string[];
  /** Everything the processes wrote, by file name. */
  readonly outputs: ReadonlyMap<string, string>;
  /** Operations of the workload by kind. */
  readonly operations: Readonly<Record<string, number>>;
}

export class History {
  readonly #plan: HistoryPlan;
  readonly #world: RealWorld;
  readonly #log: (line: string) => void;
  readonly #rounds: RoundTimes[] = [];
  readonly #looks: ViewLook[] = [];
  readonly #missedLooks = new Misses();
  readonly #failures: string[] = [];
  #workload: Workload | null = null;
  #follower: Follower | null = null;
  #looking = true;

  constructor(plan: HistoryPlan, world: RealWorld, log: (line: string) => void) {
    this.#plan = plan;
    this.#world = world;
    this.#log = log;
  }

  async play(): Promise<HistoryResult> {
    const world = this.#world;
    const looking = this.#look();
    let whole = await this.#tried("", async () => {
      await this.#begin();
      for (const [index, round] of this.#plan.rounds.entries()) await this.#playRound(index, round);
      await this.#reachEnd();
    });
    if (!whole) {
      this.#log(await this.#describe());
      whole = await this.#tried("After that: ", () => this.#recover());
    }
    const workload = this.#workload;
    if (!whole && workload !== null) {
      await this.#tried("After that: ", () => inTime(workload.stop(), FINAL_MS, "The end of the workload"));
    }
    world.processes.during(null);
    this.#looking = false;
    await looking;
    const reachedAt = world.now();
    const verified = whole ? await this.#verify() : null;
    const verifiedAt = world.now();
    const watch = { ms: world.now(), misses: { ...world.sampler.misses, looks: this.#missedLooks.told } };
    for (const process of ["view", "daemon"] as const) {
      for (const running of world.processes.running(process)) {
        await this.#tried("At the end: ", () => stopProcess(running, process));
      }
    }
    const observed = { plan: this.#plan, follower: this.#follower, looks: this.#looks, rounds: this.#rounds };
    const gathered = await gather(world, { ...observed, watch, whole, verified });
    await this.#tried("At the end: ", async () => this.#follower?.stop());
    const [verifying, gathering] = [verifiedAt - reachedAt, world.now() - verifiedAt];
    this.#log(`  the end after ${reachedAt} ms, verified in ${verifying} ms, gathered in ${gathering} ms`);
    const outputs = world.processes.outputs();
    return {
      ...gathered,
      plan: this.#plan,
      rounds: this.#rounds,
      failures: this.#failures,
      outputs,
      leaks: [...outputs].filter(([, text]) => text.includes(CANARY)).map(([name]) => name),
      operations: Object.fromEntries(this.#workload?.counters.operations ?? []),
    };
  }

  /** Notes what goes wrong; false when something did. */
  async #tried(when: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      const cause = (error as Error).cause;
      this.#failures.push(`${when}${messageOf(error)}${cause instanceof Error ? ` (${cause.message})` : ""}`);
      this.#log(`history ${this.#plan.seed}: ${this.#failures.at(-1)}`);
      return false;
    }
  }

  async #begin(): Promise<void> {
    const world = this.#world;
    await createOracleSlot(world.url);
    const daemon = await world.startDaemon();
    await daemon.says('"state":"streaming"', { timeout: STREAMING_MS });
    await world.startView();
    this.#follower = await Follower.start(world.kafka.brokers, world.stream);
    const random = seeded(this.#plan.seed).fork("workload");
    this.#workload = await Workload.start({
      url: world.url,
      random,
      writers: this.#plan.writers,
      ...LOAD[this.#plan.nodes],
    });
  }

  async #playRound(index: number, { fault: name, parameters, calmMs }: PlannedRound): Promise<void> {
    const world = this.#world;
    const fault = FAULTS.find((known) => known.name === name)!;
    await sleep(calmMs);
    const begun = world.now();
    world.processes.during({ during: name, allowed: fault.allows ?? [] });
    const boundMs = (this.#plan.nodes === 3 ? fault.clusterBoundMs : undefined) ?? fault.boundMs ?? BOUND_MS;
    const round = { round: index, fault: name, boundMs };
    let bit: boolean;
    try {
      bit = await this.#strike(fault, parameters);
      this.#requireRunning(name);
    } catch (error) {
      // It never healed: what it was to reach was not reached.
      this.#rounds.push({ ...round, healedAt: world.now(), caughtUpAt: null, bit: true });
      throw error;
    }
    const healedAt = world.now();
    let caughtUpAt: number | null = null;
    try {
      await world.caughtUp(boundMs);
      caughtUpAt = world.now();
    } finally {
      this.#rounds.push({ ...round, healedAt, caughtUpAt, bit });
      const took = caughtUpAt === null ? "did not catch up" : `caught up in ${caughtUpAt - healedAt} ms`;
      const end = bit ? took : `came to nothing; ${took}`;
      this.#log(`  ${index + 1}. ${name} ${JSON.stringify(parameters)}: ${healedAt - begun} ms, ${end}`);
    }
    this.#requireRunning(name);
    world.processes.during(null);
    if (this.#workload!.failure) throw this.#workload!.failure;
  }

  /** Whether it bit. */
  async #strike(fault: Fault, parameters: PlannedRound["parameters"]): Promise<boolean> {
    for (let strike = 1; strike <= STRIKES; strike++) {
      const bit = await inTime(fault.strike(this.#world, parameters), STRIKE_MS, `The strike of ${fault.name}`);
      if (bit !== false) return true;
    }
    return false;
  }

  /** A daemon that halted on its own is a finding, whatever the checker would say. */
  #requireRunning(fault: string): void {
    for (const process of ["daemon", "view"] as const) {
      const running = this.#world.processes.running(process).length;
      if (running !== 1) {
        const last = this.#world.processes.exits().findLast((exit) => exit.process === process);
        throw new Error(
          `After ${fault} there are ${running} processes "${process}"; the last ended ${JSON.stringify(last)}.`,
        );
      }
    }
  }

  /** Everything that was committed is in the stream, and everything in the stream in the view. */
  async #reachEnd(): Promise<void> {
    const world = this.#world;
    await this.#workload!.stop();
    await world.caughtUp(FINAL_MS);
    const { sequence } = (await world.sampler.stored())!;
    await waitFor(
      () => {
        if (world.processes.running("view").length === 0) throw new Error(`The view has ended: ${world.view.output()}`);
        return appliedCount(world.viewFile) >= sequence;
      },
      { what: `all ${sequence} events in the view`, timeout: FINAL_MS },
    );
  }

  /** The project's own judge; it needs a daemon that runs. */
  async #verify(): Promise<Verified | null> {
    let verified: Verified | null = null;
    await this.#tried("afterimage verify: ", async () => {
      verified = await inTime(this.#world.verify(), VERIFY_MS, "afterimage verify");
    });
    return verified;
  }

  /** After a history broke off: what the fault left is healed, and the rest may still be reached. */
  async #recover(): Promise<void> {
    await inTime(this.#world.mend(), FINAL_MS, "Mending servers and network");
    if (this.#workload === null) throw new Error("The workload was not started.");
    await this.#reachEnd();
  }

  /** What the processes and the servers look like when a history breaks off. */
  async #describe(): Promise<string> {
    const { processes, sampler } = this.#world;
    const statuses = processes.adminPorts().map(async (port) => {
      const response = await fetch(`http://127.0.0.1:${port}/status`, { signal: AbortSignal.timeout(3_000) });
      return JSON.stringify(await response.json());
    });
    const settled = await Promise.allSettled(statuses);
    const said = settled.map((one) => (one.status === "fulfilled" ? one.value : `no answer: ${one.reason}`));
    const last = sampler.positions.slice(-3).map(({ at, confirmed, stored }) => {
      return `${at} ms: confirmed ${confirmed}, stored ${stored?.endLsn} sequence ${stored?.sequence}`;
    });
    return [...said, ...last].join("\n");
  }

  async #look(): Promise<void> {
    while (this.#looking) {
      this.#missedLooks.count(() => {
        const look = lookAtView(this.#world.viewFile, this.#world.now());
        if (look !== null) this.#looks.push(look);
      });
      await sleep(LOOK_MS);
    }
  }
}
