// Whether a node is the one to answer.
import { ErrorCode } from "../../../src/kafka/protocol/error-code.ts";
import type { Cluster } from "./cluster.ts";
import type { Partition } from "./partition.ts";

/** The partition where this node leads it, else the error to answer with. */
export function led(cluster: Cluster, node: number, topic: string, partition: number): Partition | number {
  const found = cluster.partitionAt(node, topic, partition);
  if (found === undefined) {
    return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  }
  return found.leader === node ? found : ErrorCode.NOT_LEADER_OR_FOLLOWER;
}

/** 0 when this node keeps the transactions. */
export function coordinatorError(cluster: Cluster, node: number): number {
  if (cluster.coordinatorNode !== node) {
    return ErrorCode.NOT_COORDINATOR;
  }
  return cluster.coordinatorLoads ? ErrorCode.COORDINATOR_LOAD_IN_PROGRESS : ErrorCode.NONE;
}
