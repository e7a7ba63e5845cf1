// Waiting until no transaction stands between its decision and its markers. EndTxn is answered when the coordinator
// has noted the decision; until the markers are in the partitions, readers don't see what is committed already.
import { KafkaConnection } from "../../src/kafka/connection.ts";
import type { KafkaRequest } from "../../src/kafka/protocol/request.ts";
import { waitFor } from "./wait-for.ts";

/** The coordinator is still reading its log, as after a start. */
const COORDINATOR_LOAD_IN_PROGRESS = 14;

/**
 * Ids of the transactions of one coordinator that are decided, but whose markers aren't all written; null while it
 * can't tell. https://kafka.apache.org/protocol.html#The_Messages_ListTransactions
 */
const decidedTransactions: KafkaRequest<string[] | null> = {
  apiKey: 66,
  name: "ListTransactions",
  version: 0,
  flexible: true,
  write(writer) {
    writer.compactArray(["PrepareCommit", "PrepareAbort"], (state) => writer.compactString(state));
    writer.compactArray([], () => {});
    writer.noTags();
  },
  read(reader) {
    reader.int32(); // throttle time
    const error = reader.int16();
    if (error === COORDINATOR_LOAD_IN_PROGRESS) return null;
    if (error !== 0) throw new Error(`ListTransactions answered ${error}.`);
    reader.compactArray(() => reader.compactString());
    return reader.compactArray(() => {
      const id = reader.compactString()!;
      reader.int64(); // producer id
      reader.compactString(); // state
      reader.skipTags();
      return id;
    });
  },
};

/** Resolves when every transaction that was decided before the call can be seen by readers. */
export async function settledTransactions(brokers: string[], timeout: number): Promise<void> {
  const connection = await KafkaConnection.connect({ brokers, clientId: "afterimage-dev" });
  try {
    const { brokers: nodes } = await connection.metadata([]);
    await Promise.all(
      nodes.map(async ({ nodeId }) => {
        let waiting: string[] | null = null;
        await waitFor(
          async () => {
            const decided = await connection.send(nodeId, decidedTransactions);
            // A busy producer is seen deciding again and again: once seen without, its first one is through.
            waiting = decided && (waiting === null ? decided : waiting.filter((id) => decided.includes(id)));
            return waiting?.length === 0;
          },
          { what: "the markers of ended transactions", timeout },
        );
      }),
    );
  } finally {
    await connection.close();
  }
}
