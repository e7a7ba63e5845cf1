// How requests and replies name partitions: by topic, then by number, each with something of its own.
import type { ReplyReader } from "../../../src/kafka/protocol/reply-reader.ts";
import type { RequestWriter } from "../../../src/kafka/protocol/request-writer.ts";

export interface Reply {
  readonly told: string;
  readonly flexible?: boolean;
  readonly waitMs?: number;
  write(writer: RequestWriter): void;
}

export interface Place<T> {
  readonly topic: string;
  readonly partition: number;
  readonly detail: T;
}

export function places<T>(body: ReplyReader, read: () => T): Place<T>[] {
  return body
    .array(() => {
      const topic = body.string()!;
      return body.array(() => ({ topic, partition: body.int32(), detail: read() }));
    })
    .flat();
}

export function writePlaces<T>(
  writer: RequestWriter,
  results: readonly Place<T>[],
  write: (result: T, partition: number) => void,
): void {
  writer.array([...Map.groupBy(results, ({ topic }) => topic)], ([topic, members]) => {
    writer.string(topic);
    writer.array(members, ({ partition, detail }) => write(detail, partition));
  });
}
