// Which tables `images` means, before anything is touched and when the stream is opened: by their own name or by that of
// a partitioned table above them.
import type pg from "pg";
import type { Config } from "../config/config.ts";
import { matchesTable } from "../config/table-patterns.ts";
import { formatTableName } from "../event/identifier.ts";
import { type ImagedTable, type OpenImages, openImages } from "../images/open-images.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { waitUntilNothingHeld } from "../sink/held-topics.ts";
import { readSchemas } from "../sink/progress-log.ts";
import { describeTables, type TableDescription } from "../source/catalog.ts";
import { type Finding, problem } from "../source/finding.ts";
import type { InspectedTable } from "../source/preflight-tables.ts";
import { type OpenProgress, TRANSACTION_TIMEOUT_MS } from "./open-progress.ts";

type Named = Pick<TableDescription, "schema" | "table" | "ancestors">;
type Keyed = Named & Pick<InspectedTable, "identity" | "indexes">;
type Wanted = Pick<Config, "images" | "keyless">;

const names = ({ schema, table, ancestors }: Named) => [{ schema, table }, ...ancestors];

const isWanted = (table: Named, images: Config["images"]): boolean =>
  names(table).some((name) => images.some((each) => each.schema === name.schema && each.table === name.table));

/** A setting that names no captured table, or one whose rows nothing tells apart. */
export function judgeImages({ images, keyless }: Wanted, captured: readonly Keyed[]): Finding[] {
  const unknown = images.filter((each) => !captured.some((table) => isWanted(table, [each])));
  const withoutKey = captured.filter((table) => isWanted(table, images) && !hasKey(table, keyless));
  return [
    ...unknown.map(({ schema, table }) => {
      const name = formatTableName(schema, table);
      return problem(
        "IMAGES_TABLE_UNKNOWN",
        `The setting images names ${name}, which is not a table that this stream captures.`,
        `Correct the name, take it out of images, or let the setting tables mean ${name}.`,
      );
    }),
    ...withoutKey.map(({ schema, table }) => {
      const name = formatTableName(schema, table);
      return problem(
        "IMAGES_KEYLESS",
        `The setting images names ${name}, whose rows have no key to be kept by.`,
        `Give it a primary key (and take it out of keyless), or take it out of images and run ALTER TABLE ${name} REPLICA IDENTITY FULL;`,
      );
    }),
  ];
}

function hasKey({ schema, table, identity, indexes }: Keyed, keyless: readonly string[]): boolean {
  const key = indexes.find((index) => (identity === "i" ? index.identity : index.primary));
  return identity !== "n" && key?.immediate === true && !matchesTable(keyless, schema, table);
}

/** Null when no table's images are asked for. Throws what `openImages` throws. */
export async function openImagesOf(
  config: Config,
  client: pg.Client,
  connection: KafkaConnection,
  { publisher: { progress }, snapshots: { tables: captured }, server, topics }: OpenProgress,
): Promise<OpenImages | null> {
  if (config.images.length === 0) {
    return null;
  }
  const described = await describeTables(client, server.publication, [...captured.keys()]);
  const wanted = described.filter((table) => isWanted(table, config.images)).map(({ oid }) => captured.get(oid)!);
  const tables = wanted
    .filter(({ encoder }) => encoder.hasKey)
    .map(({ encoder: { schema }, topic, partitions }): ImagedTable => {
      return { table: schema.table, topic, topicId: schema.topicId, partitions };
    });
  const places = tables.flatMap(({ topic, partitions }) =>
    Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
  );
  // What an open transaction hides would be missing.
  await waitUntilNothingHeld(connection, places, TRANSACTION_TIMEOUT_MS);
  return openImages(connection, {
    path: config.imagesFile,
    identity: {
      stream: config.stream,
      systemId: progress.systemId,
      database: progress.database,
      epoch: progress.epoch,
    },
    sequence: progress.sequence,
    tables,
    schemas: await readSchemas(connection, topics.schemas),
  });
}
