// How a session reaches its servers.
import { KafkaConnection } from "../kafka/connection.ts";
import { ReplicationStream } from "../source/replication-stream.ts";
import { connectSql } from "../source/session.ts";

export interface Connections {
  readonly sql: typeof connectSql;
  readonly kafka: (...parameters: Parameters<typeof KafkaConnection.connect>) => Promise<KafkaConnection>;
  readonly replication: (
    ...parameters: Parameters<typeof ReplicationStream.open>
  ) => Promise<Pick<ReplicationStream, keyof ReplicationStream>>;
}

export const SERVERS: Connections = {
  sql: connectSql,
  kafka: KafkaConnection.connect,
  replication: ReplicationStream.open,
};
