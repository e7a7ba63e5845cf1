// Does what the progress record says still hold of this server? Every difference halts the start with a name of its
// own: going on would lose or repeat changes without a word.
import { AfterimageError } from "../errors.ts";
import { formatLsn, type Lsn } from "../event/lsn.ts";
import type { Progress } from "../event/progress.ts";
import { sameSettings } from "./resume.ts";

export interface ServerFacts {
  readonly systemId: string;
  readonly timeline: number;
  readonly database: number;
  /** Such as 180004. */
  readonly version: number;
  readonly insertLsn: Lsn;
  readonly slot: string;
  readonly confirmedFlushLsn: Lsn;
  readonly publication: number;
  readonly publicationXmin: number;
  /** Up to which an operator has looked at changes of the publication; null when none were accepted. */
  readonly acceptedXmin: number | null;
  /** Whether what came into the database by replication is left out. */
  readonly origin: "none" | undefined;
  readonly resume: string;
  /** Where the server's history left the stored timeline; asked for only when the timelines differ. */
  readonly switchPoint: Lsn | null;
}

/** The way on that keeps the topics. */
export const NEW_EPOCH =
  "Go on with a new epoch, which says what is missing and reads every table again: afterimage start --new-epoch.";

const REBUILD = "Or rebuild the stream: afterimage drop STREAM --topics, then start.";

/** Throws the first thing that does not hold. */
export function checkStart(stored: Progress, server: ServerFacts): void {
  if (stored.systemId !== server.systemId || stored.database !== server.database) {
    throw halt(
      "SERVER_FOREIGN",
      `The stream was published from another ${stored.systemId === server.systemId ? "database of this server" : "server"}.`,
      "Point postgres.url at the database it was published from. If that one is gone and this one takes its place: afterimage start --new-epoch --force. Or rebuild the stream: afterimage drop STREAM --topics --foreign-server, then start.",
    );
  }
  if (stored.slot !== server.slot) {
    throw halt(
      "SLOT_FOREIGN",
      `The stream was published from slot ${stored.slot}; ${server.slot} is configured.`,
      `Set postgres.slot to ${stored.slot}. ${REBUILD}`,
    );
  }
  if (stored.publication !== server.publication) {
    throw publicationForeign();
  }
  const { publicationXmin: before } = stored;
  const { publicationXmin: now, acceptedXmin } = server;
  if (before !== undefined && before !== now && acceptedXmin !== now) {
    throw publicationChanged(before, now);
  }
  if (stored.endLsn < server.confirmedFlushLsn) {
    throw halt(
      "SLOT_AHEAD",
      `The slot was confirmed up to ${formatLsn(server.confirmedFlushLsn)}, but the stream holds only what ends at or below ${formatLsn(stored.endLsn)}: what lies between is lost.`,
      `Somebody advanced or made the slot anew, or topics were restored from an older state. ${NEW_EPOCH} ${REBUILD}`,
    );
  }
  checkTimeline(stored, server);
  const reached = stored.last !== null && stored.last.commitLsn > stored.endLsn ? stored.last.commitLsn : stored.endLsn;
  if (reached > server.insertLsn) {
    throw halt(
      "SERVER_BEHIND",
      `The stream was published up to ${formatLsn(reached)}, but the server is only at ${formatLsn(server.insertLsn)}: it was restored from an older state.`,
      `Point postgres.url at the right server. If this is the one now: ${NEW_EPOCH} ${REBUILD}`,
    );
  }
  checkPartitions(stored.resume, server.resume);
  // Of a transaction that is published whole the server's sending it again is the proof that this is the same server.
  if (stored.last !== null && stored.last.commitLsn >= server.confirmedFlushLsn && leavesOutMore(stored, server)) {
    throw halt(
      "RESUME_MISMATCH",
      "The transaction that was published last is sent again, unless it came by replication: with postgres.origin: none nobody can tell whether this server has it.",
      "Set postgres.origin to any, start, end it with afterimage stop, and change the setting then.",
    );
  }
  if (stored.last !== null && !stored.last.complete && !sameSettings(stored.resume, server.resume)) {
    throw halt(
      "RESUME_MISMATCH",
      "A transaction is published in part, and what decides its events has changed since: tables, keyless, postgres.origin, the publication's options, or the server's version.",
      `Put the settings back, start once, and change them after the transaction is through. If that can't be: ${NEW_EPOCH} ${REBUILD}`,
    );
  }
}

const leavesOutMore = (stored: Progress, server: ServerFacts): boolean =>
  stored.origin === undefined && server.origin === "none";

/** Topics that got more partitions would otherwise pass as soon as the setting says so too. */
function checkPartitions(stored: string, now: string): void {
  const [, had] = stored.split("/");
  const [, configured] = now.split("/");
  if (had !== undefined && configured !== undefined && had !== configured) {
    throw halt(
      "TOPIC_REPARTITIONED",
      `The stream was published into ${had} partitions a topic; now ${configured} are configured: keys would change their partition, and their order would be lost.`,
      `Set kafka.partitions back to ${had}. ${REBUILD}`,
    );
  }
}

function checkTimeline(stored: Progress, server: ServerFacts): void {
  if (stored.timeline === server.timeline) {
    return;
  }
  if (server.switchPoint === null || server.switchPoint < stored.endLsn) {
    throw halt(
      "TIMELINE_DIVERGED",
      `The stream was published up to ${formatLsn(stored.endLsn)} of timeline ${stored.timeline}; this server is on timeline ${server.timeline}, which left it ${server.switchPoint === null ? "nowhere" : `at ${formatLsn(server.switchPoint)}`}.`,
      `A standby was promoted that lacked published changes. ${NEW_EPOCH} ${REBUILD}`,
    );
  }
}

export function publicationForeign(): AfterimageError {
  return halt(
    "PUBLICATION_FOREIGN",
    "The publication is not the one the stream was published from: it was dropped and made again, and rows written in between are missing.",
    `Set postgres.publication to the right one. If this is the one now: ${NEW_EPOCH} ${REBUILD}`,
  );
}

export function publicationChanged(before: number, now: number): AfterimageError {
  return halt(
    "PUBLICATION_CHANGED",
    `The publication was altered since it was looked at last (xmin ${before}, now ${now}): what it left out meanwhile is missing from the stream, and nobody can tell whether there was any.`,
    `If nothing was written meanwhile, or what is missing may be missing, set postgres.acceptPublicationXmin to ${now} and start again; afterimage verify --against-database then shows which rows differ. ${NEW_EPOCH} ${REBUILD}`,
  );
}

function halt(code: string, what: string, advice: string): AfterimageError {
  return new AfterimageError(code, what, advice);
}

/** Ids would be given a second time, and what was recorded of the tables could not be compared. */
export function schemasMissing(topic: string): AfterimageError {
  return new AfterimageError(
    "SCHEMAS_MISSING",
    `Topic ${topic} holds no record, though events were published that refer to some.`,
    "Somebody deleted it, or its records. Rebuild the stream: afterimage drop STREAM --topics, then start.",
  );
}
