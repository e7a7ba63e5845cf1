// SIGKILL at every step of a snapshot, under writes: each start reads at most one chunk again, and goes on to the end.
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { requestSnapshot } from "../../support/admin.ts";
import { CapturedStream } from "../../support/captured-stream.ts";
import type { Kills, Moment } from "../../support/failpoints/kills.ts";
import { verifyDatabase } from "../../support/verify-run.ts";
import { waitFor } from "../../support/wait-for.ts";
import { expectNothingConfirmedEarly } from "./guarantees.ts";
import { SETTINGS, SETUP, Workload } from "./workload.ts";

const ROWS = 8_000;
const FILL = `INSERT INTO t SELECT -g, 'before', repeat('b', 200) FROM generate_series(1, ${ROWS}) g;
  INSERT INTO u SELECT -g, 'before' FROM generate_series(1, ${ROWS}) g`;

const WHILE_READING: readonly Moment[] = [
  "snapshot.change-passed",
  "snapshot.chunk-read",
  ["snapshot.chunk-read", 3],
  "snapshot.chunk-placed",
  ["snapshot.chunk-placed", 3],
  "snapshot.chunk-stored",
  ["snapshot.chunk-stored", 3],
  ["publisher.events-produced", 4],
  ["publisher.progress-produced", 4],
  ["publisher.committed", 5],
];

export function killWhileReading(kills: Kills): void {
  describe("a daemon that takes snapshots", () => {
    let stream: CapturedStream;
    let workload: Workload;
    const spawn = (environment: Record<string, string>) => stream.spawn(environment);

    beforeAll(async () => {
      stream = await CapturedStream.prepare(`${SETUP}; ${FILL}`, { ...SETTINGS, AFTERIMAGE_SNAPSHOT: "initial" });
      workload = new Workload(stream.database.url);
    });
    afterAll(() => stream?.drop());

    kills.each(WHILE_READING, async (moment) => {
      await workload.during(() => kills.at(moment, spawn));
      await expectNothingConfirmedEarly(stream);
      expect((await stream.progress())?.snapshot).not.toEqual([]);
    });

    test("killed while a chunk does not count: a writer of before this run is not over", async () => {
      const writer = new pg.Client({ connectionString: stream.database.url });
      await writer.connect();
      await writer.query("BEGIN; UPDATE t SET note = 'open' WHERE id = -1; UPDATE u SET note = 'open' WHERE id = -1");
      const { rows } = await writer.query("SELECT pg_backend_pid() AS pid");
      const atWork = writer.query("SELECT pg_sleep(600)").catch(() => undefined);
      await kills.at("snapshot.chunk-not-counted", spawn);
      await stream.sql("SELECT pg_cancel_backend($1)", [rows[0].pid]);
      await atWork;
      await writer.query("ROLLBACK");
      await writer.end();
    });

    test("afterwards it goes on to its end: every row was read, and none by a second gap", async () => {
      await stream.start();
      await waitFor(async () => (await stream.progress())?.snapshot.length === 0, {
        what: "the end of the snapshots",
      });
      await stream.published();
      const { code, kinds, output } = await verifyDatabase(stream);
      expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
      // Table u has no large values, so nothing of it is ever read a second time: rows and cursor are one transaction.
      const read = (await stream.events()).filter(
        ({ table, operation }) => operation === "read" && table === "public.u",
      );
      expect(new Set(read.map(({ key }) => key?.id)).size).toBe(read.length);
      const own = (await stream.events()).filter(({ transaction }) => transaction.index === 0);
      expect(
        own
          .filter(({ operation }) => operation !== "read")
          // Under writes the gap is put again, also after a kill right there.
          .filter((event) => !("reason" in event) || !/passed the change/.test(event.reason))
          .map(({ operation }) => operation)
          .sort(),
      ).toEqual(["gap", "gap", "sweep", "sweep"]);
    });

    test("killed when one was asked for: it is known after a restart", async () => {
      await stream.daemon.kill("SIGTERM");
      await kills.at("snapshot.requested", spawn, async (daemon) => {
        await daemon.says('"state":"streaming"');
        await requestSnapshot(daemon, "public.t").catch(() => undefined); // the answer dies with the daemon
      });
      await stream.start();
      await waitFor(async () => (await stream.events()).filter(({ operation }) => operation === "sweep").length === 3, {
        what: "the end of the snapshot",
      });
      const { code, kinds, output } = await verifyDatabase(stream);
      expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
    });
  });
}
