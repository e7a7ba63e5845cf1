// One request of the Kafka protocol: how its body is written and its reply read.
// https://kafka.apache.org/protocol.html (message formats, request and response headers)
import type { ReplyReader } from "./reply-reader.ts";
import { RequestWriter } from "./request-writer.ts";

export interface KafkaRequest<Reply> {
  readonly apiKey: number;
  /** As the protocol page names it; used in messages. */
  readonly name: string;
  readonly version: number;
  /** Flexible versions have tagged fields, also in the headers (request header 2, response header 1). */
  readonly flexible: boolean;
  write(writer: RequestWriter): void;
  read(reader: ReplyReader): Reply;
  /** Bytes of the body when known beforehand: saves growing the buffer. */
  readonly size?: number;
  /** Added to the time limit: how long the broker may wait on purpose. */
  readonly waitMs?: number;
}

const HEADER_BYTES = 32;

/** The whole request: size, header, body. */
export function frame(request: KafkaRequest<unknown>, correlationId: number, clientId: string): Buffer {
  const writer = new RequestWriter((request.size ?? 256) + HEADER_BYTES + clientId.length * 3);
  writer.int32(0);
  writer.int16(request.apiKey);
  writer.int16(request.version);
  writer.int32(correlationId);
  writer.string(clientId);
  if (request.flexible) {
    writer.noTags();
  }
  request.write(writer);
  return writer.finish();
}
