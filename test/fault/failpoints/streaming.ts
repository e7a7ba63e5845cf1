// SIGKILL at every step of a daemon that streams: one stream, and each start armed with the next failpoint, until the
// stream itself is dropped, killed at every step of that as well.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Failpoint } from "../../../src/failpoint.ts";
import { CapturedStream } from "../../support/captured-stream.ts";
import type { SpawnedDaemon } from "../../support/daemon.ts";
import { slotsReleased } from "../../support/database.ts";
import type { Kills, Moment } from "../../support/failpoints/kills.ts";
import { listTopics } from "../../support/topics.ts";
import { waitFor } from "../../support/wait-for.ts";
import { expectNothingConfirmedEarly, expectWhole, expectWholeImages } from "./guarantees.ts";
import { SETTINGS, SETUP, Workload } from "./workload.ts";

/** Later times than the first where that one is always near the start. */
const UNDER_LOAD: readonly Moment[] = [
  "daemon.preflight-over",
  "session.connected",
  "session.progress-looked-for",
  "session.slot-held",
  "progress.topics-made",
  "producer.initialised",
  "progress.read",
  "progress.checked",
  "session.streaming",
  "images.caught-up-in-part",
  "images.caught-up",
  ["images.before-store", 2],
  ["images.stored", 3],
  "pipeline.frame-received",
  ["pipeline.frame-received", 40],
  "pipeline.relation-missing",
  ["pipeline.relation-resolved", 2],
  ["pipeline.begin", 3],
  ["pipeline.row", 11],
  "pipeline.truncate",
  ["pipeline.message", 2],
  ["pipeline.commit", 3],
  "pipeline.position-found",
  "pipeline.budget-full",
  "pipeline.budget-free",
  ["batch.sealed-whole", 2],
  "batch.sealed-piece",
  ["batch.sealed-piece", 3],
  ["publisher.before-begin", 2],
  ["publisher.partitions-added", 2],
  "appender.before-produce",
  ["appender.before-produce", 4],
  "appender.produced",
  ["appender.produced", 4],
  ["publisher.events-produced", 2],
  ["publisher.progress-produced", 2],
  ["producer.before-end", 2],
  "publisher.committed",
  ["publisher.committed", 3],
  ["publish-loop.published", 2],
  ["feedback.confirmed", 3],
  ["feedback.before-send", 4],
  ["feedback.sent", 4],
];

const WHILE_QUIET: readonly Moment[] = [
  "pipeline.keepalive-received",
  "batch.idle",
  ["batch.idle", 3],
  "session.continuity-looked",
];

const WHILE_STOPPING: readonly Moment[] = [
  "publish-loop.drain-begun",
  "publish-loop.drain-over",
  "session.closing",
  "session.closed",
];

const WHILE_DROPPING: readonly Failpoint[] = [
  "drop.begun",
  "drop.slot-dropped",
  "drop.publication-dropped",
  "drop.topic-deleted",
];

export function killWhileStreaming(kills: Kills): void {
  describe("a daemon that streams", () => {
    let stream: CapturedStream;
    let workload: Workload;
    let folder: string;
    const spawn = (environment: Record<string, string>) => stream.spawn(environment);

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "afterimage-"));
      stream = await CapturedStream.create(SETUP, {
        ...SETTINGS,
        AFTERIMAGE_IMAGES: "public.t=complete,public.u=complete",
        AFTERIMAGE_IMAGES_FILE: join(folder, "images"),
      });
      await stream.daemon.kill();
      workload = new Workload(stream.database.url);
    });
    afterAll(async () => {
      await stream?.drop();
      rmSync(folder, { recursive: true, force: true });
    });

    kills.each(UNDER_LOAD, async (moment) => {
      await workload.during(() => kills.at(moment, spawn));
      await expectNothingConfirmedEarly(stream);
    });

    kills.each(WHILE_QUIET, async (moment) => {
      await workload.during(() => kills.at(moment, spawn), true);
      await expectNothingConfirmedEarly(stream);
    });

    kills.each(WHILE_STOPPING, async (moment) => {
      const stop = async (daemon: SpawnedDaemon) => {
        await daemon.says('"state":"streaming"');
        daemon.child.kill("SIGTERM");
      };
      await workload.during(() => kills.at(moment, spawn, stop));
      await expectNothingConfirmedEarly(stream);
    });

    test("killed at daemon.backing-off", async () => {
      await workload.during(() =>
        kills.at("daemon.backing-off", spawn, async (daemon) => {
          await daemon.says('"state":"streaming"');
          await stream.sql(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()",
          );
        }),
      );
      await expectNothingConfirmedEarly(stream);
    });

    test("killed as a standby, and as one that takes over", async () => {
      const holder = await stream.start();
      await kills.at("daemon.standby-entered", spawn);
      await workload.during(() =>
        kills.at("daemon.standby-over", spawn, async (standby) => {
          await standby.says('"state":"standby"');
          await holder.kill();
        }),
      );
      await expectNothingConfirmedEarly(stream);
    });

    test("afterwards every change is there once, in order", async () => {
      await stream.start();
      try {
        await expectWhole(stream, ["t", "u"]);
        await expectWholeImages(stream);
      } finally {
        await stream.daemon.kill();
      }
    });

    test("a drop that is killed at each of its steps is finished by the next one; in between no start goes on", async () => {
      const drop = (environment: Record<string, string>) =>
        stream.ask("drop", environment, [stream.stream, "--yes", "--topics"]);
      await slotsReleased(stream.database.url);
      for (const step of WHILE_DROPPING) {
        await kills.at(step, drop);
      }
      const halted = stream.spawn();
      expect((await halted.exited()).code).toBe(4);
      expect(halted.stderr()).toContain("SLOT_LOST");
      const last = drop({});
      expect(await last.exited(), last.output()).toMatchObject({ code: 0 });
      const { rows } = await stream.sql(
        `SELECT slot_name AS name FROM pg_replication_slots WHERE database = current_database()
          UNION ALL SELECT pubname FROM pg_publication`,
      );
      expect(rows).toEqual([]);
      await waitFor(async () => (await listTopics(stream.brokers, `${stream.stream}.`)).length === 0, {
        what: "the end of the stream's topics",
      });
    });
  });
}
