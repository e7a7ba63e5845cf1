// One history: load on real servers, one fault after the other, and then everything that was observed, for the checker.
import { setTimeout as sleep } from "node:timers/promises";
import { waitFor } from "../../dev/servers/wait-for.ts";
import { Follower, readStream } from "./collect-kafka.ts";
import { collectPostgres, createOracleSlot } from "./collect-postgres.ts";
import type { Evidence, RoundTimes, ViewLook } from "./evidence.ts";
import { FAULTS } from "./nemesis/faults.ts";
import type { HistoryPlan, PlannedRound } from "./plan.ts";
import { seeded } from "./random.ts";
import { CANARY, RealWorld } from "./real-world.ts";
import { appliedCount, lookAtView, readView } from "./view-reader.ts";
import { Workload } from "./workload/workload.ts";

const STREAMING_MS = 60_000;
const FINAL_MS = 120_000;
const LOOK_MS = 300;
/** Transactions a second, and the most rows of one: what two cores with all servers on them can catch up with. */
const LOAD = { 1: { rate: 40, bulkRows: 6_000 }, 3: { rate: 20, bulkRows: 3_000 } };
/** After a fault is healed, unless it says otherwise: servers, daemon, view and checks share the machine. */
const BOUND_MS = 60_000;

export interface HistoryResult {
  readonly plan: HistoryPlan;
  /** Null when it could not be gathered. */
  readonly evidence: Evidence | null;
  /** How many events the view noted as applied; each once, or it would have failed. */
  readonly applied: number | null;
  /** Processes whose output held the canary password. */
  readonly leaks: readonly string[];
  /** What kept the history from coming to its end: a process that halted, a fault that could not be healed. */
  readonly failure: Error | null;
  /** Everything the processes wrote, by file name. */
  readonly outputs: ReadonlyMap<string, string>;
  /** Operations of the workload by kind. */
  readonly operations: Readonly<Record<string, number>>;
}

export async function runHistory(plan: HistoryPlan, log: (line: string) => void): Promise<HistoryResult> {
  const world = await RealWorld.open(plan);
  const run = new History(plan, world, log);
  try {
    return await run.play();
  } finally {
    await world.close();
  }
}

class History {
  readonly #plan: HistoryPlan;
  readonly #world: RealWorld;
  readonly #log: (line: string) => void;
  readonly #rounds: RoundTimes[] = [];
  readonly #looks: ViewLook[] = [];
  #workload: Workload | null = null;
  #follower: Follower | null = null;
  #looking = true;

  constructor(plan: HistoryPlan, world: RealWorld, log: (line: string) => void) {
    this.#plan = plan;
    this.#world = world;
    this.#log = log;
  }

  async play(): Promise<HistoryResult> {
    let evidence: Evidence | null = null;
    let applied: number | null = null;
    let failure: Error | null = null;
    const looking = this.#look();
    try {
      await this.#begin();
      for (const [index, round] of this.#plan.rounds.entries()) {
        await this.#playRound(index, round);
      }
      ({ evidence, applied } = await this.#end(looking));
    } catch (error) {
      failure = error as Error;
      this.#log(`history ${this.#plan.seed}: ${failure.message}`);
      this.#log(await this.#describe());
      await this.#workload?.stop().catch(() => undefined);
    } finally {
      this.#looking = false;
      await looking;
      await this.#follower?.stop();
    }
    const outputs = this.#world.processes.outputs();
    return {
      plan: this.#plan,
      evidence,
      applied,
      failure,
      outputs,
      leaks: [...outputs].filter(([, text]) => text.includes(CANARY)).map(([name]) => name),
      operations: Object.fromEntries(this.#workload?.counters.operations ?? []),
    };
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
    await fault.strike(world, parameters);
    this.#requireRunning(name);
    const healedAt = world.now();
    const boundMs = fault.boundMs ?? BOUND_MS;
    let caughtUpAt: number | null = null;
    try {
      await world.caughtUp(boundMs);
      caughtUpAt = world.now();
    } finally {
      this.#rounds.push({ round: index, fault: name, healedAt, caughtUpAt, boundMs });
      const took = caughtUpAt === null ? "did not catch up" : `caught up in ${caughtUpAt - healedAt} ms`;
      this.#log(`  ${index + 1}. ${name} ${JSON.stringify(parameters)}: ${healedAt - begun} ms, ${took}`);
    }
    this.#requireRunning(name);
    world.processes.during(null);
    if (this.#workload!.failure) throw this.#workload!.failure;
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

  async #end(looking: Promise<void>): Promise<{ evidence: Evidence; applied: number }> {
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
    this.#looking = false;
    await looking;
    await this.#follower!.reached();
    await world.view.kill("SIGTERM");
    await world.daemon.kill("SIGTERM");
    await world.sampler.stop();
    const postgres = await collectPostgres(world.url, { stream: world.stream, partitions: this.#plan.partitions });
    const kafka = await readStream(world.kafka.brokers, world.stream);
    const evidence: Evidence = {
      stream: world.stream,
      ...postgres,
      ...kafka,
      followed: this.#follower!.records,
      view: readView(world.viewFile, postgres.tables),
      looks: this.#looks,
      positions: world.sampler.positions,
      health: world.sampler.health,
      rounds: this.#rounds,
      exits: world.processes.exits(),
    };
    return { evidence, applied: appliedCount(world.viewFile) };
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
      const look = lookAtView(this.#world.viewFile, this.#world.now());
      if (look !== null) this.#looks.push(look);
      await sleep(LOOK_MS);
    }
  }
}
