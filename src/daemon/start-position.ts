// Where a stream stands when it is opened: what the server is now, and the position that a first start or a new epoch
// begins at.
import type { Config } from "../config/config.ts";
import type { Progress } from "../event/progress.ts";
import type { ServerIdentity } from "../source/catalog.ts";
import type { PublicationState } from "../source/publication.ts";
import type { SlotState } from "../source/slot.ts";
import { readSwitchPoint } from "../source/timeline.ts";
import { resumeOf } from "./resume.ts";
import type { ServerFacts } from "./start-checks.ts";

export interface ServerParts {
  readonly identity: ServerIdentity;
  readonly slot: Pick<SlotState, "confirmedFlushLsn">;
  readonly publication: PublicationState;
}

/** The server as `checkStart` compares it with what is stored. */
export async function serverFacts(
  config: Config,
  { identity, slot, publication }: ServerParts,
  stored: Progress | null,
): Promise<ServerFacts> {
  return {
    ...identity,
    slot: config.postgres.slot,
    confirmedFlushLsn: slot.confirmedFlushLsn,
    publication: publication.oid,
    publicationXmin: publication.xmin,
    acceptedXmin: config.postgres.acceptPublicationXmin,
    origin: config.postgres.origin === "none" ? "none" : undefined,
    resume: resumeOf(config, identity, publication),
    switchPoint:
      stored === null || stored.systemId !== identity.systemId || stored.timeline === identity.timeline
        ? null
        : await readSwitchPoint(config.postgres, stored.timeline, identity.timeline),
  };
}

export function firstProgress(stream: string, server: ServerFacts): Progress {
  return {
    stream,
    epoch: 1,
    firstSequence: 1,
    sequence: 0,
    completeSequence: 0,
    endLsn: server.confirmedFlushLsn,
    last: null,
    ...identityOf(server),
    partitions: new Map(),
    snapshot: [],
  };
}

/**
 * Where the next epoch begins: at the new slot's consistent point. The sequence goes on; of a transaction that was
 * published in part the rest never comes, and snapshots begin afresh.
 */
export function nextEpoch(stored: Progress, server: ServerFacts): Progress {
  return {
    ...stored,
    ...identityOf(server),
    epoch: stored.epoch + 1,
    firstSequence: stored.sequence + 1,
    completeSequence: stored.sequence,
    endLsn: server.confirmedFlushLsn,
    last: null,
    partitions: new Map(),
    snapshot: [],
  };
}

export function identityOf({
  systemId,
  timeline,
  database,
  slot,
  publication,
  publicationXmin,
  origin,
  resume,
}: ServerFacts): Pick<
  Progress,
  "systemId" | "timeline" | "database" | "slot" | "publication" | "publicationXmin" | "origin" | "resume"
> {
  return { systemId, timeline, database, slot, publication, publicationXmin, origin, resume };
}
