// Whether a stream without a progress record is really one that never began.
import { AfterimageError } from "../errors.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { listTopicNames } from "../kafka/topics.ts";
import { hasLostRecords, holdsCommittedRecord } from "../sink/progress-log.ts";

/** Without a progress record nothing may have been published. */
export async function checkNothingPublished(connection: KafkaConnection, stream: string): Promise<void> {
  const own = (await listTopicNames(connection)).filter((name) => name.startsWith(`${stream}.`));
  for (const topic of own) {
    if ((await holdsCommittedRecord(connection, topic)) || (await hasLostRecords(connection, topic))) {
      throw new AfterimageError(
        "PROGRESS_MISSING",
        `Topic ${topic} holds events, or did, but the progress topic of stream ${stream} has no record: where they end is not known.`,
        `Choose another stream name, or remove the topics: afterimage drop ${stream} --topics.`,
      );
    }
  }
}
