// The disk of `spoolFolder` is full: the daemon halts by name with nothing of the open transaction published, and goes on
// when there is room.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { run } from "../../dev/servers/process.ts";
import { CapturedStream } from "../support/captured-stream.ts";

let disk: string | null = null;
let stream: CapturedStream | undefined;
let writer: pg.Client | undefined;
afterEach(async () => {
  if (disk === null) return;
  await writer?.end();
  await stream?.drop();
  await run("umount", [disk]);
  await rm(disk, { recursive: true });
});

test("SPOOL_FULL, and nothing is lost or doubled once there is room", async ({ skip }) => {
  skip(process.getuid?.() !== 0, "only root may mount a file system of a megabyte");
  const folder = await mkdtemp(join(tmpdir(), "afterimage-spool-disk-"));
  await run("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]);
  disk = folder;
  stream = await CapturedStream.create(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()); END $$;
     CREATE TABLE t (id int PRIMARY KEY, note text)`,
    { AFTERIMAGE_STREAMING: "on", AFTERIMAGE_SPOOL_FOLDER: folder },
  );
  await stream.sql("INSERT INTO t VALUES (0, 'before')");
  await stream.published();
  writer = new pg.Client({ connectionString: stream.database.url });
  await writer.connect();
  await writer.query("BEGIN; INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 10000) g");
  expect(await stream.daemon.exited()).toMatchObject({ code: 4 });
  expect(stream.daemon.output()).toContain('"code":"SPOOL_FULL"');
  expect((await stream.stored()).map(({ event }) => event.sequence)).toEqual([1]);
  expect(await readdir(folder)).toEqual([]);

  await run("mount", ["-o", "remount,size=100m", folder]);
  await stream.start();
  await writer.query("COMMIT");
  await stream.published();
  expect((await stream.stored()).map(({ event }) => event.key?.id)).toEqual(
    Array.from({ length: 10_001 }, (_, at) => at),
  );
});
