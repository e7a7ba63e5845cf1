// How a session reaches its servers.
import type { KafkaConnection } from "../kafka/connection.ts";
import type { ReplicationStream } from "../source/replication-stream.ts";
import type { connectSql } from "../source/session.ts";

export interface Connections {
  readonly sql: typeof connectSql;
  readonly kafka: (...parameters: Parameters<typeof KafkaConnection.connect>) => Promise<KafkaConnection>;
  readonly replication: (
    ...parameters: Parameters<typeof ReplicationStream.open>
  ) => Promise<Pick<ReplicationStream, keyof ReplicationStream>>;
}
