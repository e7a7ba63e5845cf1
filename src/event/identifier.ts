// Names of tables and columns as Postgres writes them, and the topic each table is published to.

// Quoted unless it is a plain lower-case word; keywords are left unquoted, since this text names a table to
// people and programs and is not sent to a server (SQL is built with `quoteIdentifier`).
const PLAIN = /^[a-z_][a-z0-9_$]*$/;

/** An identifier for SQL: always quoted, inner quotes doubled. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** `schema.table`, each part quoted where it is not a plain lower-case word: the `table` field of an event. */
export function formatTableName(schema: string, table: string): string {
  return `${formatPart(schema)}.${formatPart(table)}`;
}

function formatPart(name: string): string {
  return PLAIN.test(name) ? name : quoteIdentifier(name);
}

/** The two parts of a `formatTableName` text. Throws RangeError when it is not of that form. */
export function parseTableName(text: string): { schema: string; table: string } {
  const match = /^((?:[a-z_][a-z0-9_$]*)|(?:"(?:[^"]|"")+"))\.((?:[a-z_][a-z0-9_$]*)|(?:"(?:[^"]|"")+"))$/.exec(text);
  if (match === null) {
    throw new RangeError(
      `Not a table name: ${JSON.stringify(text)}. Write schema.table, each part quoted unless it is a plain lower-case word.`,
    );
  }
  return { schema: parsePart(match[1]!), table: parsePart(match[2]!) };
}

function parsePart(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text;
}

/**
 * The topic of a table: `<stream>.<schema>.<table>`, each UTF-8 byte of a name outside `[A-Za-z0-9_]` written
 * `-HH`, so that different tables never share a name. Kafka's own limits (249 characters, `.` and `_` collide) are
 * checked against the broker, not here.
 */
export function tableTopic(stream: string, schema: string, table: string): string {
  return `${stream}.${escapePart(schema)}.${escapePart(table)}`;
}

export const progressTopic = (stream: string): string => `${stream}.progress`;
export const schemasTopic = (stream: string): string => `${stream}.schemas`;
export const messagesTopic = (stream: string): string => `${stream}.messages`;
/** Under which a stream's daemons write: Kafka lets one of them at a time. */
export const transactionalIdOf = (stream: string): string => `afterimage.${stream}`;

function escapePart(name: string): string {
  let escaped = "";
  for (const byte of Buffer.from(name, "utf8")) {
    const character = String.fromCharCode(byte);
    escaped += /[A-Za-z0-9_]/.test(character) ? character : `-${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return escaped;
}
