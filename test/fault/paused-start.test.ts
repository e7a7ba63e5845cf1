// A daemon that is stopped (SIGSTOP) in the middle of its start, while another takes over and publishes, finds its place
// again: one of them stands by, and neither halts.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import type { Failpoint } from "../../src/failpoint.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { armed } from "../support/failpoints/armed.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
const folder = mkdtempSync(join(tmpdir(), "afterimage-paused-"));
afterEach(() => stream.drop());
afterAll(() => rmSync(folder, { recursive: true }));

test.each<Failpoint>(["session.slot-held", "producer.initialised", "progress.read"])("stopped at %s", async (name) => {
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY)");
  await stream.sql("INSERT INTO t SELECT generate_series(1, 100)");
  await stream.published();
  await stream.daemon.kill();
  const paused = stream.spawn(armed(name, 1, "stop", join(folder, "counts")));
  try {
    // Before it stands, the slot may still be that of the daemon that was killed.
    await waitFor(() => stateOf(paused.pid) === "T", { what: "it to be stopped" });
    const { rows } = await stream.sql(
      "SELECT active_pid FROM pg_replication_slots WHERE active AND database = current_database()",
    );
    const walsender = rows[0]!.active_pid;
    await stream.sql("SELECT pg_terminate_backend($1)", [walsender]); // as wal_sender_timeout would
    await stream.start();
    await stream.sql("INSERT INTO t SELECT generate_series(101, 5000)");
    await stream.published();
    paused.kill("SIGCONT");
    // It may fence the one that took over before it knows that it has lost the slot; then either of them gets it.
    await paused.says(/"state":"(standby|streaming)"/);
    await stream.sql("INSERT INTO t SELECT generate_series(5001, 5100)");
    const events = await stream.events();
    expect(events.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 5100 }, (_, i) => i + 1));
    for (const { output } of [paused, stream.daemon]) expect(output()).not.toContain('"state":"halted"');
  } finally {
    await paused.kill();
  }
});

function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
}
