// The package's public face, `afterimage-cdc/sdk`: everything a view is written with.
export { AfterimageError } from "../errors.ts";
export type {
  BarrierEvent,
  ChangeEvent,
  DeleteEvent,
  GapEvent,
  InsertEvent,
  MessageEvent,
  Operation,
  ReadEvent,
  RowEvent,
  SweepEvent,
  TransactionInfo,
  TruncateEvent,
  UpdateEvent,
  WireRow,
  WireValue,
} from "../event/change-event.ts";
export { emptiesTable, givesUpSnapshot, isBarrier, opensSnapshot, skippedPrefix } from "../event/change-event.ts";
export { parseEnvelope } from "../event/envelope.ts";
export { messageBytes } from "../event/message.ts";
export { type Consumer, type ConsumerOptions, createConsumer } from "./consumer/consumer.ts";
export type { EventHandler, HandlerContext, Registration, TableHandlers } from "./consumer/handlers.ts";
export type { MessageHandler } from "./consumer/message-handlers.ts";
export type { ConsumerLogger } from "./consumer/patience.ts";
export type { ConsumerPosition, ConsumerState, PartitionPosition } from "./consumer/position.ts";
export { Aggregate, type AggregateDefinition, type Loaded, type LoadOptions } from "./event-store/aggregate.ts";
export {
  type AppendOptions,
  EventStore,
  type EventStoreOptions,
  type InTransaction,
  type ReadOptions,
} from "./event-store/event-store.ts";
export { EventConflict, type EventTypes, type NewEvent, type StoredEvent } from "./event-store/events.ts";
export type { Upcasters } from "./event-store/upcasters.ts";
export {
  createIdempotency,
  type Idempotency,
  type IdempotencyOptions,
  type Processed,
  type ProcessOptions,
} from "./idempotency/idempotency.ts";
export { idempotencyKey, type KeyPart } from "./idempotency/key.ts";
export { type PostgresKeysOptions, postgresKeys } from "./idempotency/postgres-keys.ts";
export { type SqliteKeysOptions, type SqliteKeysTransaction, sqliteKeys } from "./idempotency/sqlite-keys.ts";
export type { IdempotencyStore, KeyRequest, StoredResult } from "./idempotency/store.ts";
export type { Json } from "./json/canonical.ts";
export type { Lease, LeaseOptions } from "./linearizable/lease.ts";
export {
  LinearizableStore,
  type LinearizableStoreOptions,
  type WriteOptions,
} from "./linearizable/linearizable-store.ts";
export type {
  PostgresConnection,
  PostgresPool,
  PostgresQueryable,
  PostgresRow,
  PostgresSource,
} from "./postgres/pool.ts";
export type { PostgresTransaction } from "./postgres/transaction.ts";
export { type SqliteStoreOptions, sqliteStore } from "./store/sqlite-store.ts";
export type { SqliteRow, SqliteValue } from "./store/sqlite-table.ts";
export type { SqliteTransaction } from "./store/sqlite-transaction.ts";
export type { Advance, Awaitable, Checkpoint, OpenSnapshot, Store, StoreSession } from "./store/store.ts";
export type { ArrayOf, NestedArray } from "./values/array.ts";
export type { Decoded, Decoder } from "./values/decoder.ts";
export type { Circle, Line, Path, Point } from "./values/geometric.ts";
export type { Interval } from "./values/interval.ts";
export { type JsonNull, type JsonValue, jsonNull } from "./values/json.ts";
export type { Range } from "./values/range.ts";
export {
  type DecodedRow,
  type DecodedTables,
  type DefinedTables,
  defineTables,
  type Key,
  type Row,
  type RowTypes,
  type TableDefinition,
  type TableDefinitions,
  type TableTypes,
  type WireTables,
  type WireTypes,
} from "./values/table-types.ts";
export { Timestamp } from "./values/timestamp.ts";
export { types } from "./values/types.ts";
export type { CompositeOf } from "./values/user-types.ts";
