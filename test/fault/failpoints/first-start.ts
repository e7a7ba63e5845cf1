// SIGKILL at every step of a first start, each finished by the next start as far as its own failpoint.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Failpoint } from "../../../src/failpoint.ts";
import { CapturedStream } from "../../support/captured-stream.ts";
import type { Kills, Moment } from "../../support/failpoints/kills.ts";
import { expectNothingConfirmedEarly, expectWhole } from "./guarantees.ts";

/** In the order of a start. */
const BEFORE_THE_SLOT: readonly Failpoint[] = ["publication.before-commit", "publication.made", "slot.made"];

const BEFORE_THE_FIRST_RECORD: readonly Moment[] = [
  "session.slot-held",
  "topics.created", // progress
  "topics.created", // schemas, the one that is missing now
  "progress.topics-made",
  "producer.initialised",
  "progress.read",
  "progress.checked",
  "publisher.before-begin",
  "publisher.progress-produced",
];

const UP_TO_THE_FIRST_EVENT: readonly Moment[] = [
  "progress.first-stored",
  "topics.created", // the table's
  "publisher.events-produced", // its schema record
  "progress.schemas-stored",
  "publisher.committed",
];

export function killAtFirstStart(kills: Kills): void {
  describe("a first start", () => {
    let stream: CapturedStream;
    let begin: bigint;
    let next = 0;
    const spawn = (environment: Record<string, string>) => stream.spawn(environment);
    const write = async (table: string) => {
      next += 10;
      await stream.sql(`INSERT INTO ${table} SELECT g FROM generate_series(${next}, ${next + 4}) g`);
    };

    beforeAll(async () => {
      stream = await CapturedStream.prepare("CREATE TABLE t (id int PRIMARY KEY)");
    });
    afterAll(() => stream?.drop());

    kills.each(BEFORE_THE_SLOT, (moment) => kills.at(moment, spawn));

    test("what the kills left: a publication of ours and the slot", async () => {
      const { rows } = await stream.sql("SELECT obj_description(oid, 'pg_publication') AS comment FROM pg_publication");
      expect(rows).toEqual([{ comment: "made by afterimage" }]);
      begin = await stream.confirmedFlushLsn();
    });

    kills.each(BEFORE_THE_FIRST_RECORD, async (moment) => {
      await write("t");
      await kills.at(moment, spawn);
      expect(await stream.confirmedFlushLsn()).toBe(begin);
    });

    kills.each(UP_TO_THE_FIRST_EVENT, async (moment) => {
      await write("t");
      await kills.at(moment, spawn);
      await expectNothingConfirmedEarly(stream);
    });

    test("killed after a new table was added to the publication: its rows since then are there", async () => {
      await stream.sql("CREATE TABLE later (id int PRIMARY KEY)");
      await kills.at("publication.tables-added", spawn);
      await write("later");
      await write("t");
    });

    test("afterwards every change since the slot was made is there once", async () => {
      await stream.start();
      await expectWhole(stream, ["t", "later"]);
    });
  });
}
