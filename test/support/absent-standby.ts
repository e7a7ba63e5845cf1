// A synchronous standby that never comes: commits are written to the WAL, and wait before anybody can see them.
import pg from "pg";
import { waitFor } from "./wait-for.ts";

/**
 * From here on commits wait, until `synchronous_standby_names` is reset. The setting alone does not say so: commits go by
 * the checkpointer, which hears of it in its own time. So one that concerns no table is seen to wait first.
 */
export async function letCommitsWait(url: string): Promise<void> {
  const [admin, probe] = [new pg.Client({ connectionString: url }), new pg.Client({ connectionString: url })];
  await Promise.all([admin.connect(), probe.connect()]);
  probe.on("error", () => undefined); // the server may end while it waits
  try {
    await admin.query("ALTER SYSTEM SET synchronous_standby_names = 'ghost'");
    await admin.query("SELECT pg_reload_conf()");
    const { rows } = await probe
      .query("SET synchronous_commit = on; SELECT pg_backend_pid() AS pid")
      .then((results) => (results as unknown as pg.QueryResult[])[1]!);
    const waits = async () =>
      (await admin.query("SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'", [rows[0].pid])).rows
        .length === 1;
    await waitFor(
      async () => {
        let over = false;
        const commit = probe.query("SELECT pg_logical_emit_message(true, 'probe', '')").finally(() => {
          over = true;
        });
        commit.then(
          () => undefined,
          () => undefined, // as above
        );
        await waitFor(async () => over || (await waits()), { what: "a commit to end or to wait" });
        return !over;
      },
      { what: "commits to wait" },
    );
  } finally {
    await admin.end();
    void probe.end().catch(() => undefined); // once its commit is let go
  }
}
