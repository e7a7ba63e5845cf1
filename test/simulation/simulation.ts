// One run from one seed: the servers, one or two daemons, a workload and a storm of faults; then quiet, in which
// everything has to arrive; then the judgement.

import "./failpoint-hook.ts"; // first: the product looks for it when it is loaded
import { seeded } from "../torture/random.ts";
import { Checker } from "./checker.ts";
import { configOf, type DaemonWorld, SimulatedDaemon } from "./daemon.ts";
import { onFailpoint } from "./failpoint-hook.ts";
import { Cluster } from "./kafka/cluster.ts";
import { Network } from "./network.ts";
import { PostgresServer } from "./postgres/server.ts";
import { Scheduler } from "./scheduler.ts";
import { Storm } from "./storm.ts";
import { Violation } from "./violation.ts";

export interface Outcome {
  readonly seed: number;
  /** What was broken; null when everything held. */
  readonly violation: string | null;
  readonly events: number;
  readonly commits: number;
  readonly steps: number;
  readonly virtualMs: number;
  /** Faults that came. */
  readonly faults: ReadonlyMap<string, number>;
  /** Failpoints that were reached. */
  readonly failpoints: ReadonlySet<string>;
  readonly trace: readonly string[];
}

/** After the storm everything has to be published within this: transactions expire after 60 s, silence after 60 s; less than
 * Kafka is waited for in place (`sink/absence.ts`), so that a session that only ends by that is seen. */
const QUIET_MS = 100_000;
/** A run has some 1,500 steps; one that turns in circles has no end. */
const MOST_STEPS = 60_000;

/** Some seeds publish messages; none by which a mutant is found, since they would have another history. */
const publishesMessages = (seed: number): boolean => seed % 8 === 2;

export async function simulate(seed: number, withTrace = false): Promise<Outcome> {
  const random = seeded(seed);
  const scheduler = new Scheduler();
  const lines: string[] = [];
  const trace = withTrace
    ? (text: string) => void lines.push(`${scheduler.now.toFixed(2).padStart(10)} ${text}`)
    : () => undefined;
  const server = new PostgresServer(scheduler, random.fork("postgres"), trace, publishesMessages(seed));
  let violation: string | null = null;
  const judge = (step: () => void) => {
    try {
      step();
    } catch (error) {
      if (!(error instanceof Violation)) {
        throw error;
      }
      violation ??= error.message;
      trace(`VIOLATION: ${error.message}`);
    }
  };
  const cluster: Cluster = new Cluster(scheduler, random.fork("kafka"), {
    nodes: 3,
    markerMs: random.pick([1, 5, 40]),
    committing: (transaction) => judge(() => checker.committing(transaction)),
    ended: (place, openFrom, commit) => judge(() => checker.ended(place, openFrom, commit)),
    trace,
  });
  const checker = new Checker(cluster, server);
  const network = new Network(scheduler, cluster, random.fork("network"), withTrace ? trace : null);
  const world: DaemonWorld = {
    server,
    scheduler,
    network,
    random: random.fork("daemon"),
    config: configOf(random.fork("config"), publishesMessages(seed)),
    trace,
    confirming: (_process, lsn) => judge(() => checker.confirming(lsn)),
    halted: (process, error) =>
      judge(() => {
        throw new Violation(`${process.name} halted: ${error}`);
      }),
  };
  const storm = new Storm(
    random.fork("storm"),
    { scheduler, cluster, network, server, trace },
    (name) => new SimulatedDaemon(name, world),
  );
  const failpoints = new Set<string>();
  onFailpoint((name) => {
    if (scheduler.current?.dead === false) {
      failpoints.add(name);
      const daemon = storm.daemonOf(scheduler.current);
      judge(() => checker.reached(name, daemon.walsender !== null));
      storm.reached(name, scheduler.current);
    }
  });
  storm.begin();
  const isDone = () =>
    violation !== null ||
    scheduler.steps > MOST_STEPS ||
    (storm.isOver &&
      checker.storedSequence === server.expectedEvents &&
      server.slot?.confirmed === server.insertLsn &&
      cluster.isSettled);
  const over = await scheduler.runUntil(isDone, storm.endsAt + QUIET_MS);
  onFailpoint(() => undefined);
  if ((!over || scheduler.steps > MOST_STEPS) && violation === null) {
    violation = `not everything was published: ${checker.storedSequence} of ${server.expectedEvents}, confirmed ${server.slot?.confirmed} of ${server.insertLsn}`;
  }
  if (failpoints.size === 0) {
    throw new Error("The product was loaded before failpoint-hook.ts: no failpoint is heard of.");
  }
  if (violation === null) {
    judge(() => checker.finished());
  }
  return {
    seed,
    violation,
    events: checker.storedSequence,
    commits: checker.commits,
    steps: scheduler.steps,
    virtualMs: scheduler.now,
    faults: storm.counts,
    failpoints,
    trace: lines,
  };
}
