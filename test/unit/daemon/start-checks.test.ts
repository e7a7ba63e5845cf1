// Every difference between the stored position and the server halts the start by its own name.
import { describe, expect, test } from "vitest";
import { checkStart, type ServerFacts } from "../../../src/daemon/start-checks.ts";
import { AfterimageError } from "../../../src/errors.ts";
import type { Progress } from "../../../src/event/progress.ts";
import { lsn } from "../event/tables.ts";

const last = {
  commitLsn: lsn(0x110),
  xid: "742",
  timestamp: "2026-11-22T18:00:00.123456Z",
  index: 3,
  complete: true,
};

const STORED: Progress = {
  stream: "shop",
  epoch: 1,
  firstSequence: 1,
  sequence: 3,
  completeSequence: 3,
  endLsn: lsn(0x120),
  last,
  systemId: "7574563311234567890",
  timeline: 3,
  database: 16_384,
  slot: "afterimage_shop",
  publication: 16_999,
  publicationXmin: 734,
  resume: "same",
  partitions: new Map(),
  snapshot: [],
};

const SERVER: ServerFacts = {
  systemId: "7574563311234567890",
  timeline: 3,
  database: 16_384,
  version: 180_004,
  insertLsn: lsn(0x500),
  slot: "afterimage_shop",
  confirmedFlushLsn: lsn(0x100),
  publication: 16_999,
  publicationXmin: 734,
  acceptedXmin: null,
  origin: undefined,
  resume: "same",
  switchPoint: null,
};

/** The code with which the start halts, or `goes on`. */
function outcome(server: Partial<ServerFacts>, stored: Partial<Progress> = {}): string {
  try {
    checkStart({ ...STORED, ...stored }, { ...SERVER, ...server });
    return "goes on";
  } catch (error) {
    expect(error).toBeInstanceOf(AfterimageError);
    const { message, advice } = error as AfterimageError;
    expect(message).toMatch(/^[A-Z].*\.$/);
    expect(advice).toMatch(/^[A-Z].*\.$/);
    return (error as AfterimageError).code;
  }
}

const inPart = (commitLsn = 0x150) => ({ last: { ...last, commitLsn: lsn(commitLsn), complete: false } });

describe("goes on", () => {
  test.each<[string, Partial<ServerFacts>, Partial<Progress>?]>([
    ["on the same server", {}],
    ["when the slot stands exactly at the stored end", { confirmedFlushLsn: lsn(0x120) }],
    ["when the server stands exactly at the stored end", { insertLsn: lsn(0x120) }],
    ["before the first event", {}, { last: null }],
    [
      "when the stored record is of a version that did not keep the publication's xmin",
      {},
      { publicationXmin: undefined },
    ],
    ["when the altered publication was accepted", { publicationXmin: 740, acceptedXmin: 740 }],
    ["when one was accepted earlier", { acceptedXmin: 700 }],
    ["when the settings changed between transactions", { resume: "other" }],
    ["when nobody noted the number of partitions", { resume: "other/8" }],
    ["when the settings changed, the number of partitions did not", { resume: "other/4" }, { resume: "same/4" }],
    ["before the first event, with other settings", { resume: "other" }, { last: null }],
    ["inside a transaction with the same settings", {}, inPart()],
    ["inside one when nobody noted the number of partitions", { resume: "same/8" }, inPart()],
    ["when less is left out than before", { origin: undefined }, { origin: "none" }],
    ["leaving as much out as before", { origin: "none" }, { origin: "none" }],
    [
      "leaving out what came by replication, once the last transaction is confirmed",
      { origin: "none", confirmedFlushLsn: lsn(0x111) },
    ],
    ["on a promoted standby that had everything", { timeline: 4, switchPoint: lsn(0x120) }],
    ["on a promoted standby that left later", { timeline: 5, switchPoint: lsn(0x121) }],
  ])("%s", (_, server, stored) => {
    expect(outcome(server, stored)).toBe("goes on");
  });
});

describe("halts", () => {
  test.each<[string, string, Partial<ServerFacts>, Partial<Progress>?]>([
    ["SERVER_FOREIGN", "another server", { systemId: "1" }],
    ["SERVER_FOREIGN", "another database of it", { database: 5 }],
    ["SLOT_FOREIGN", "another slot", { slot: "other" }],
    ["PUBLICATION_CHANGED", "a publication that was altered", { publicationXmin: 740 }],
    ["PUBLICATION_CHANGED", "another alteration than the accepted one", { publicationXmin: 741, acceptedXmin: 740 }],
    ["PUBLICATION_FOREIGN", "another publication, perhaps of the same name", { publication: 17_000 }],
    ["SLOT_AHEAD", "the slot was moved past the stored end", { confirmedFlushLsn: lsn(0x121) }],
    ["TIMELINE_DIVERGED", "a standby that left before the stored end", { timeline: 4, switchPoint: lsn(0x11f) }],
    ["TIMELINE_DIVERGED", "a history that does not have the stored timeline", { timeline: 4, switchPoint: null }],
    ["TIMELINE_DIVERGED", "an older timeline", { timeline: 2, switchPoint: null }],
    ["SERVER_BEHIND", "a server restored from before the stored end", { insertLsn: lsn(0x11f) }],
    ["SERVER_BEHIND", "one restored from before a transaction published in part", { insertLsn: lsn(0x14f) }, inPart()],
    ["TOPIC_REPARTITIONED", "more partitions a topic", { resume: "same/8" }, { resume: "same/4" }],
    ["TOPIC_REPARTITIONED", "that inside a transaction", { resume: "same/8" }, { ...inPart(), resume: "same/4" }],
    ["RESUME_MISMATCH", "the last transaction may be left out when it is sent again", { origin: "none" }],
    ["RESUME_MISMATCH", "other settings inside a transaction", { resume: "other" }, inPart()],
  ])("%s: %s", (code, _, server, stored) => {
    expect(outcome(server, stored)).toBe(code);
  });

  test("text order does not decide: 0/9000000 lies below 0/10000000", () => {
    const stored = { endLsn: lsn(0x1000_0000) };
    expect(outcome({ confirmedFlushLsn: lsn(0x900_0000), insertLsn: lsn(0x1000_0001) }, stored)).toBe("goes on");
    expect(outcome({ confirmedFlushLsn: lsn(0x900_0000), insertLsn: lsn(0x900_0001) }, stored)).toBe("SERVER_BEHIND");
  });
});
