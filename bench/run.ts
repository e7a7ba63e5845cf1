// `npm run bench`: a backlog of rows behind a slot, drained by the daemon and, in turns, by pg_recvlogical. Prints rows a
// second, CPU and memory, and the ratio, which says more than either number: it depends less on the machine's mood. Then
// the whole table is read by a snapshot, and by COPY … TO STDOUT beside it.
import { createHash } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { TakeDown } from "../dev/demo/take-down.ts";
import { freePort, guard } from "../dev/servers/process.ts";
import { startServers } from "../dev/servers/servers.ts";
import { deleteTopics } from "../dev/servers/topics.ts";
import { messageOf } from "../src/errors.ts";
import { makeBacklog, STREAM } from "./backlog.ts";
import { DaemonDrain, type Drained, drainByRecvlogical } from "./drain.ts";
import { type SnapshotRound, snapshotRound } from "./snapshot.ts";

interface Round {
  readonly round: number;
  readonly daemon: Drained;
  readonly recvlogical: Drained | null;
  readonly ratio: number | null;
  /** Milliseconds that a fixed piece of work took just before: how fast this CPU is at the moment. */
  readonly calibration: number;
}

interface BenchOptions {
  readonly rows: number;
  readonly per: number;
  readonly rounds: number;
  /** Every round but the first changes rows of the first. */
  readonly updates: boolean;
  readonly images: boolean;
}

const log = (line: string) => void process.stdout.write(`${line}\n`);

function calibrate(): number {
  const block = Buffer.alloc(1 << 20, 7);
  const started = performance.now();
  for (let times = 0; times < 64; times++) {
    createHash("sha256").update(block).digest();
  }
  return Math.round(performance.now() - started);
}

async function bench(
  takeDown: TakeDown,
  options: BenchOptions,
): Promise<{ rounds: Round[]; snapshots: SnapshotRound[] }> {
  const servers = await takeDown.made(
    () => startServers({ log }),
    (started) => started.stop(),
  );
  const folder = await mkdtemp(join(tmpdir(), "afterimage-bench-"));
  const watch = guard(folder, "KILL");
  takeDown.add(() => watch.release());
  const backlog = await takeDown.made(
    () => makeBacklog(servers.postgresUrl),
    (made) => made.drop(),
  );
  const { brokers } = servers;
  takeDown.add(() => deleteTopics(brokers, `${STREAM}.`));
  const daemon = new DaemonDrain({ folder, brokers, adminPort: await freePort(), images: options.images }, backlog);
  takeDown.add(() => daemon.stop());
  await daemon.prepare();

  const rounds: Round[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    const endLsn = await backlog.load(options.rows, options.per, options.updates && round > 1);
    const calibration = calibrate();
    const ours = () => daemon.drain((round - 1) * options.rows, round * options.rows);
    const theirs = () => drainByRecvlogical(backlog, options.rows, endLsn);
    // Whoever comes second finds the WAL in the page cache: they take turns.
    const first = round % 2 === 1 ? await ours() : null;
    const recvlogical = await theirs();
    const drained = first ?? (await ours());
    const ratio = recvlogical && Math.round((drained.rowsPerSecond / recvlogical.rowsPerSecond) * 100) / 100;
    rounds.push({ round, daemon: drained, recvlogical, ratio, calibration });
    log(describe(rounds.at(-1)!));
  }
  const published = options.rows * options.rounds;
  const rows = options.updates ? options.rows : published;
  const snapshots: SnapshotRound[] = [];
  await daemon.start();
  for (let round = 1; round <= options.rounds; round++) {
    // A snapshot is a gap, its rows, and a sweep.
    const sequence = published + (round - 1) * (rows + 2);
    snapshots.push(await snapshotRound(daemon, backlog, brokers, { round, rows, sequence }));
    log(describeSnapshot(snapshots.at(-1)!));
  }
  await daemon.stop();
  return { rounds, snapshots };
}

function describeSnapshot(one: SnapshotRound): string {
  const { round, rows, snapshotRowsPerSecond, cpuMicrosecondsPerRow: cpu, copyRowsPerSecond, ratio } = one;
  return `snapshot ${round}: ${rows} rows, daemon ${snapshotRowsPerSecond} rows/s into Kafka, ${cpu ?? "?"} µs CPU a row; COPY … TO STDOUT ${copyRowsPerSecond} rows/s, ratio ${ratio}`;
}

function describe({ round, daemon, recvlogical, ratio, calibration }: Round): string {
  const { rowsPerSecond, cpuMicrosecondsPerRow: cpu, peakMegabytes: peak } = daemon;
  const beside = recvlogical === null ? "" : `; pg_recvlogical ${recvlogical.rowsPerSecond} rows/s, ratio ${ratio}`;
  return `round ${round}: daemon ${rowsPerSecond} rows/s, ${cpu ?? "?"} µs CPU a row, peak ${peak ?? "?"} MB${beside} (calibration ${calibration} ms)`;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "200000" },
    per: { type: "string", default: "100" },
    rounds: { type: "string", default: "3" },
    updates: { type: "boolean", default: false },
    images: { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const options = {
  rows: Number(values.rows),
  per: Number(values.per),
  rounds: Number(values.rounds),
  updates: values.updates,
  images: values.images,
};
const takeDown = new TakeDown();
let code = 0;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void takeDown.run().finally(() => process.exit(130)));
}
try {
  const { rounds, snapshots } = await bench(takeDown, options);
  const ratios = rounds.flatMap(({ ratio }) => (ratio === null ? [] : [ratio]));
  const rate = median(rounds.map(({ daemon }) => daemon.rowsPerSecond));
  log(
    `median: ${rate} rows/s${ratios.length === 0 ? "; pg_recvlogical is not installed" : `, ratio ${median(ratios)}`}`,
  );
  log(
    `median of snapshots: ${median(snapshots.map((one) => one.snapshotRowsPerSecond))} rows/s, ratio to COPY ${median(snapshots.map(({ ratio }) => ratio))}`,
  );
  if (values.json !== undefined) {
    const machine = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version };
    await writeFile(
      values.json,
      `${JSON.stringify({ at: new Date().toISOString(), machine, ...options, rounds, snapshots }, null, 2)}\n`,
    );
  }
} catch (error) {
  process.stderr.write(`BENCH_FAILED: ${messageOf(error)}\n`);
  code = 1;
}
await takeDown.run().catch((error: unknown) => {
  process.stderr.write(`BENCH_FAILED: ${messageOf(error)}\n`);
  code = 1;
});
process.exit(code);
