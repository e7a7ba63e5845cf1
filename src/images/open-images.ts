// Opens the store of images and brings it to where the stream is. What its file holds counts only as far as the topics
// still bear it out: of the same topic, with the same record where it stopped, and with every record since.
import type { TableSchema } from "../event/schema.ts";
import { failpoint } from "../failpoint.ts";
import { fetchCommitted } from "../kafka/committed-reader.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { fetchOffsets } from "../kafka/offsets.ts";
import { type CatchUpParts, catchUp, type Span } from "./catch-up.ts";
import { imagesStep } from "./errors.ts";
import { ImageFile, type StoredTable, type StreamIdentity } from "./image-file.ts";
import { Images } from "./images.ts";
import { parseStored } from "./stored-event.ts";
import { TableImages } from "./table-images.ts";

/** A captured table whose rows are to be kept. */
export interface ImagedTable {
  readonly table: string;
  readonly topic: string;
  readonly topicId: string;
  readonly partitions: number;
}

export interface OpenImagesOptions {
  readonly path: string;
  readonly identity: StreamIdentity;
  /** The stream's last sequence. */
  readonly sequence: number;
  readonly tables: readonly ImagedTable[];
  /** Every shape that the stream has recorded. */
  readonly schemas: readonly TableSchema[];
}

/** What is open, and has to be closed whatever becomes of it. */
export interface OpenImages extends Disposable {
  readonly images: Images;
}

/**
 * Only call this while holding the stream, and once no transaction is open on the tables' topics. Throws IMAGES_LOCKED, IMAGES_FAILED,
 * IMAGES_FILE_FOREIGN and what `catchUp` throws.
 */
export async function openImages(connection: KafkaConnection, options: OpenImagesOptions): Promise<OpenImages> {
  const { path, identity, sequence, tables } = options;
  const file = ImageFile.open(path, identity, sequence);
  try {
    file.keepOnly(tables.map(({ table }) => table));
    const schemas = new Map(options.schemas.map((schema) => [schema.schema, schema]));
    const parts = { connection, file, schemas };
    const opened = new Map<string, TableImages>();
    for (const table of tables) {
      opened.set(table.table, await openTable(table, parts));
    }
    failpoint("images.caught-up");
    return { images: new Images(file, opened), [Symbol.dispose]: () => file.close() };
  } catch (error) {
    file.close();
    throw error;
  }
}

async function openTable(table: ImagedTable, parts: CatchUpParts): Promise<TableImages> {
  const { connection, file } = parts;
  const rows = file.table(table.table, table.topicId);
  const stored = imagesStep(file.path, () => rows.stored());
  const logs = new Map<number, Log>();
  for (let partition = 0; partition < table.partitions; partition++) {
    const { earliest, lastStable } = await fetchOffsets(connection, table.topic, partition);
    logs.set(partition, { earliest, end: lastStable });
  }
  const goesOn = stored.topicId === table.topicId && (await isBorneOut(connection, table.topic, stored, logs));
  if (!goesOn) {
    file.transaction(() => rows.reset(table.topicId));
  }
  const spans = new Map(
    [...logs].map(([partition, { earliest, end }]): [number, Span] => {
      const position = goesOn ? stored.positions.get(partition) : undefined;
      return [partition, { from: position === undefined ? earliest : position.offset + 1n, end }];
    }),
  );
  const images = imagesStep(file.path, () => new TableImages(table, file.path, rows, parts.schemas));
  await catchUp(images, spans, parts);
  return images;
}

interface Log {
  readonly earliest: bigint;
  readonly end: bigint;
}

/** Whether the topic holds the record at which each partition stopped, or at least all that follow it. */
async function isBorneOut(
  connection: KafkaConnection,
  topic: string,
  { positions }: StoredTable,
  logs: ReadonlyMap<number, Log>,
): Promise<boolean> {
  const looked = new Map<number, bigint>();
  for (const [partition, { earliest, end }] of logs) {
    const position = positions.get(partition);
    if (position === undefined) {
      if (positions.size > 0 && earliest > 0n) {
        return false; // what it held first is gone
      }
    } else if (position.offset >= end || position.offset + 1n < earliest) {
      return false;
    } else if (position.offset >= earliest) {
      looked.set(partition, position.offset);
    }
  }
  while (looked.size > 0) {
    for (const [partition, { records }] of await fetchCommitted(connection, topic, looked)) {
      const [record] = records;
      const { offset, sequence } = positions.get(partition)!;
      if (record?.offset !== offset || parseStored(record.value?.toString("utf8") ?? "null").sequence !== sequence) {
        return false;
      }
      looked.delete(partition);
    }
  }
  return true;
}
