// The progress record of a stream that has published nothing yet.
import type { Progress } from "../event/progress.ts";
import type { ServerFacts } from "./start-checks.ts";

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

/** What every progress record says of the server and the settings. */
export function identityOf({ systemId, timeline, database, slot, publication, publicationXmin, resume }: ServerFacts) {
  return { systemId, timeline, database, slot, publication, publicationXmin, resume };
}
