// A Postgres whose disk is full: the server dies for want of room for WAL, or can't decode for want of room to spill. The
// daemon waits, goes on by itself when there is room, and what was committed is there once.
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, inject, test } from "vitest";
import type { PostgresServer } from "../../dev/servers/embedded-postgres.ts";
import { run } from "../../dev/servers/process.ts";
import { startPostgres } from "../../dev/servers/servers.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { waitFor } from "../support/wait-for.ts";

const ROOMY_MB = 600;
let disk: string | null = null;
let server: PostgresServer | undefined;
let stream: CapturedStream | undefined;
afterEach(async () => {
  if (disk === null) return;
  await resize(ROOMY_MB);
  try {
    await stream?.daemon.kill();
    await comesBack();
    await stream?.drop();
  } finally {
    await server?.remove();
    await run("umount", [disk]);
    await rm(disk, { recursive: true });
  }
});

const resize = (megabytes: number) => run("mount", ["-o", `remount,size=${megabytes}m`, disk!]);

/** The server ends itself where even the recovery finds no room. */
async function comesBack(): Promise<void> {
  const answers = async () => {
    await server!.start();
    return stream!.sqlAfresh("SELECT").then(
      () => true,
      () => false, // it recovers
    );
  };
  await waitFor(answers, { what: "Postgres" });
}

/** All but `free` megabytes of the disk are taken. */
async function tighten(free: number): Promise<void> {
  const [, used = "0"] = (await run("df", ["--output=used", "-BM", disk!])).trim().split("\n");
  await resize(Number.parseInt(used, 10) + free);
}

test("Postgres has no room for WAL, then none to spill: it goes on when there is room", async ({ skip }) => {
  skip(process.getuid?.() !== 0, "only root may mount a file system of a few megabytes");
  const folder = await mkdtemp(join(tmpdir(), "afterimage-disk-"));
  await run("mount", ["-t", "tmpfs", "-o", `size=${ROOMY_MB}m`, "tmpfs", folder]);
  disk = folder;
  await chmod(folder, 0o755);
  server = await startPostgres({ version: 18, folder, settings: { logical_decoding_work_mem: "64kB" } });
  const servers = { postgresUrl: server.address, brokers: inject("brokers") };
  const events = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, note text)", {}, servers);
  stream = events;
  const insert = (from: number, to: number) =>
    events.sqlAfresh(`INSERT INTO t SELECT g, repeat('x', 900) FROM generate_series(${from}, ${to}) g`);
  const ended = async (id: number) => {
    await events.published();
    expect((await events.stored()).at(-1)?.event.key).toEqual({ id });
  };
  await insert(1, 100);
  await ended(100);

  await tighten(20);
  const fill = "SELECT pg_logical_emit_message(false, 'fills', repeat('x', 1000000)) FROM generate_series(1, 10)";
  const filling = (async () => {
    for (let round = 0; ; round++) {
      await insert(1_000 + round, 1_000 + round);
      await events.sqlAfresh(fill);
    }
  })();
  await expect(filling).rejects.toThrow();
  await events.daemon.says('"state":"backing-off"');
  await resize(ROOMY_MB);
  await comesBack();
  await insert(10_000, 10_100);
  await ended(10_100);

  await events.daemon.kill();
  await insert(20_000, 60_000);
  await events.sqlAfresh("SELECT pg_switch_wal(); CHECKPOINT; SELECT pg_logical_emit_message(false, 'x', 'y')");
  await tighten(8);
  await events.start();
  await events.daemon.says(/SQLSTATE 53100/);
  expect((await events.stored()).at(-1)?.event.key).toEqual({ id: 10_100 });
  await resize(ROOMY_MB);
  await ended(60_000);
  const stored = (await events.stored()).map(({ event }) => event);
  expect(stored.map(({ sequence }) => sequence)).toEqual(stored.map((_, at) => at + 1));
  const { rows } = await events.sqlAfresh("SELECT id FROM t ORDER BY id");
  expect(stored.map(({ key }) => key?.id)).toEqual(rows.map(({ id }) => id));
});
