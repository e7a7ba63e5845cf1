// What a transaction that is published in part depends on: recorded, and compared before its rest is sent.
import { createHash } from "node:crypto";
import type { Config } from "../config/config.ts";
import type { ServerIdentity } from "../source/catalog.ts";
import type { PublicationState } from "../source/publication.ts";
import { PGOUTPUT_OPTIONS } from "../source/replication-stream.ts";

/**
 * All that changes pgoutput's output, or the events made of it, for the same WAL, as a hash; then how many partitions
 * each table's topic has.
 */
export function resumeOf(config: Config, server: ServerIdentity, publication: PublicationState): string {
  const inputs = {
    pgoutput: PGOUTPUT_OPTIONS,
    major: Math.trunc(server.version / 10_000),
    // Neither changes what is sent; the hash stands in records of earlier versions.
    publication: { ...publication, ours: undefined, xmin: undefined },
    tables: config.tables,
    keyless: config.keyless,
    // Absent from the hash when all is sent.
    origin: config.postgres.origin === "any" ? undefined : config.postgres.origin,
    // Half of a key change may be published, and what its other half is filled with. Absent from the hash when empty.
    images: config.images.length === 0 ? undefined : config.images,
    // Which messages are events. Absent from the hash when empty.
    messages: config.messages.prefixes.length === 0 ? undefined : config.messages.prefixes,
  };
  const hash = createHash("sha256").update(JSON.stringify(inputs)).digest("hex").slice(0, 16);
  return `${hash}/${config.kafka.partitions}`;
}

/** Records of earlier versions have the hash alone. */
export const sameSettings = (one: string, other: string): boolean => one.split("/")[0] === other.split("/")[0];
