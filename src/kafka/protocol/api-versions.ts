// ApiVersions: which requests a broker understands. https://kafka.apache.org/protocol.html#The_Messages_ApiVersions
import type { KafkaRequest } from "./request.ts";

export type ApiVersions = Record<number, { minVersion: number; maxVersion: number }>;

/** Version 0, which every broker answers, also before authentication. */
export const apiVersions: KafkaRequest<{ error: number; versions: ApiVersions }> = {
  apiKey: 18,
  name: "ApiVersions",
  version: 0,
  flexible: false,
  write() {},
  read(reader) {
    const error = reader.int16();
    const entries = reader.array(
      () => [reader.int16(), { minVersion: reader.int16(), maxVersion: reader.int16() }] as const,
    );
    return { error, versions: Object.fromEntries(entries) };
  },
};
