// The server does not have what was published of it.
import { AfterimageError } from "../errors.ts";
import { formatLsn } from "../event/lsn.ts";
import type { LastTransaction } from "../event/progress.ts";

export function positionNotFound(expected: LastTransaction, found: string): AfterimageError {
  return new AfterimageError(
    "POSITION_NOT_FOUND",
    `The stream was published up to transaction ${expected.xid} of ${expected.timestamp} at ${formatLsn(expected.commitLsn)}, and this server does not have it: ${found}.`,
    "The server was restored, or is another one. Point postgres.url at the right server. If this is the one now, go on with a new epoch: afterimage start --new-epoch --force. Or rebuild the stream: afterimage drop STREAM --topics, then start.",
  );
}
