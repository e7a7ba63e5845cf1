// createConsumer: what a user of the SDK holds. Keeps a view equal to the stream, exactly once per event.
import { AfterimageError } from "../../errors.ts";
import { messagesTopic, parseTableName, schemasTopic, tableTopic } from "../../event/identifier.ts";
import { failpoint } from "../../failpoint.ts";
import type { KafkaSettings } from "../../kafka/connection.ts";
import type { Store } from "../store/store.ts";
import { EventDecoder } from "../values/event-decoder.ts";
import type { DecodedTables, DefinedTables, TableDefinitions, TableTypes, WireTables } from "../values/table-types.ts";
import { checkRegistration, type Registration } from "./handlers.ts";
import { KafkaLogReader } from "./kafka-log-reader.ts";
import type { LogReader } from "./log-reader.ts";
import {
  byPrefix,
  checkMessageHandler,
  type MessageHandler,
  type MessageOptions,
  type RegisteredMessages,
} from "./message-handlers.ts";
import { OwnStep } from "./own-step.ts";
import { type ConsumerLogger, patiently } from "./patience.ts";
import { type ConsumerPosition, type ConsumerState, positionOf } from "./position.ts";
import { RunLoop } from "./run-loop.ts";
import { SchemaReader } from "./schema-reader.ts";
import { type RegisteredTable, TopicWatch } from "./topic-watch.ts";

export interface ConsumerOptions<Tx> {
  /** `clientId` is `afterimage-<group>` unless given. */
  readonly kafka: Omit<KafkaSettings, "clientId"> & { readonly clientId?: string };
  readonly stream: string;
  /** Names the view; its checkpoints are kept under this name. */
  readonly group: string;
  readonly store: Store<Tx>;
  /** Table to topic, for tables that the daemon publishes under another name than `<stream>.<schema>.<table>`. */
  readonly topics?: Readonly<Record<string, string>>;
  /**
   * `wire`, the default: as they stand in the stream. `decoded`: built-in types as bigint, Timestamp, parsed JSON,
   * arrays and so on; a value that can't be decoded without loss is the error VALUE_UNREPRESENTABLE.
   */
  readonly values?: "wire" | "decoded";
  /** With `decoded`: types that stay text (`jsonb`), or columns (`public.orders.note`). */
  readonly asText?: readonly string[];
  /** What `afterimage types` wrote: values are decoded as it says, and handlers are typed. */
  readonly tables?: TableDefinitions;
  /** How long Kafka may be unreachable at the start, in milliseconds; 60,000 by default. Later: without end. */
  readonly startupWaitMs?: number;
  /** Called after each commit that applied events. */
  readonly onCommit?: (position: ConsumerPosition) => void;
  /** Standard error by default. */
  readonly logger?: ConsumerLogger;
}

export interface Consumer<Tx, Tables extends TableTypes = WireTables> {
  /** Before `run`. A table has one registration. */
  register<Name extends keyof Tables & string>(table: Name, registration: Registration<Tx, Tables[Name]>): this;
  /**
   * Before `run`. Gets the messages with exactly this prefix (`pg_logical_emit_message`); a prefix has one handler. With
   * any, the view's position goes past all messages: those whose prefix has no handler yet don't come again.
   */
  onMessage(prefix: string, handler: MessageHandler<Tx>, options?: MessageOptions<Tx>): this;
  /** Resolves after `stop`, when everything applied is committed; rejects with an AfterimageError. */
  run(): Promise<void>;
  /**
   * Ends `run` after the event that is being applied, and resolves when it has ended. Called by a handler, it resolves
   * at once, since `run` waits for the handler; that handler's event is the last one applied.
   */
  stop(): Promise<void>;
  position(): ConsumerPosition;
}

const STREAM_NAME = /^[a-z0-9_]{1,40}$/;

/** @throws CONSUMER_OPTION_INVALID */
export function createConsumer<Tx, Tables extends TableDefinitions>(
  options: ConsumerOptions<Tx> & { readonly tables: Tables },
): Consumer<Tx, DefinedTables<Tables>>;
export function createConsumer<Tx>(
  options: ConsumerOptions<Tx> & { readonly values: "decoded" },
): Consumer<Tx, DecodedTables>;
export function createConsumer<Tx>(
  options: ConsumerOptions<Tx> & { readonly values?: "wire"; readonly tables?: undefined },
): Consumer<Tx>;
export function createConsumer<Tx>(options: ConsumerOptions<Tx>): Consumer<Tx> {
  if (!STREAM_NAME.test(options.stream)) {
    throw invalidOption("stream", "a name of 1 to 40 of a–z, 0–9 and _");
  }
  if (typeof options.group !== "string" || options.group === "") {
    throw invalidOption("group", "a name for the view");
  }
  if (!Array.isArray(options.kafka?.brokers) || options.kafka.brokers.length === 0) {
    throw invalidOption("kafka.brokers", 'a list like ["localhost:9092"]');
  }
  const { values, asText, tables } = options;
  if (values !== undefined && values !== "wire" && values !== "decoded") {
    throw invalidOption("values", '"wire" or "decoded"');
  }
  if (tables !== undefined && values === "wire") {
    throw invalidOption("values", 'either `tables` or "wire": tables say how values are decoded');
  }
  if (asText !== undefined && (tables !== undefined || values !== "decoded")) {
    throw invalidOption("asText", 'it with values: "decoded" alone; for tables there is afterimage types --as-text');
  }
  return new StreamConsumer(options);
}

class StreamConsumer<Tx> implements Consumer<Tx> {
  readonly #options: ConsumerOptions<Tx>;
  readonly #logger: ConsumerLogger;
  readonly #tables = new Map<string, RegisteredTable<Tx>>();
  readonly #messages = new Map<string, RegisteredMessages<Tx>>();
  readonly #stopping = new AbortController();
  readonly #ownStep = new OwnStep();
  #watch: TopicWatch<Tx> | null = null;
  #isReachable = true;
  #running: Promise<void> | null = null;
  #ended: "stopped" | "failed" | null = null;

  constructor(options: ConsumerOptions<Tx>) {
    this.#options = options;
    this.#logger = options.logger ?? standardError;
  }

  register(table: string, registration: Registration<Tx>): this {
    if (this.#running !== null || this.#tables.has(table)) {
      throw new AfterimageError(
        "REGISTRATION_REFUSED",
        `${table} was registered ${this.#running === null ? "twice" : "after run()"}.`,
        "Register each table once, before run().",
      );
    }
    checkRegistration(table, registration);
    if (this.#options.tables !== undefined && !Object.hasOwn(this.#options.tables, table)) {
      throw new AfterimageError(
        "REGISTRATION_REFUSED",
        `${table} is not among the \`tables\` of createConsumer.`,
        "Run afterimage types again, with settings that include the table.",
      );
    }
    const topic = this.#options.topics?.[table] ?? this.#topicOf(table);
    this.#tables.set(table, { table, topic, registration });
    return this;
  }

  onMessage(prefix: string, handler: MessageHandler<Tx>, options: MessageOptions<Tx> = {}): this {
    checkMessageHandler(prefix, handler, { known: this.#messages, isRunning: this.#running !== null });
    this.#messages.set(prefix, { ...options, handler });
    return this;
  }

  run(): Promise<void> {
    if (this.#running !== null) {
      throw new AfterimageError("CONSUMER_USED", "run() was called twice.", "Make a new consumer with createConsumer.");
    }
    if (this.#tables.size + this.#messages.size === 0) {
      throw new AfterimageError(
        "NOTHING_REGISTERED",
        "No table is registered, and no prefix of messages.",
        "Call register(table, handlers) or onMessage(prefix, handler) first.",
      );
    }
    this.#running = this.#run();
    return this.#running;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    failpoint("consumer.stopping");
    if (this.#ownStep.isInside) {
      return;
    }
    // Whoever called run() gets its error.
    await this.#running?.catch(() => undefined);
  }

  position(): ConsumerPosition {
    const position = positionOf("starting", this.#watch?.adopted ?? [], this.#watch?.waitingFor ?? []);
    return { ...position, state: this.#state(position) };
  }

  async #run(): Promise<void> {
    try {
      const { store, stream, group } = this.#options;
      const session = await store.open({ stream, group });
      try {
        await this.#read(session);
      } finally {
        await session.close();
      }
      this.#ended = "stopped";
      failpoint("consumer.stopped");
    } catch (cause) {
      this.#ended = "failed";
      throw cause;
    }
  }

  async #read(session: Awaited<ReturnType<Store<Tx>["open"]>>): Promise<void> {
    const { signal } = this.#stopping;
    const logger = this.#logger;
    const { kafka, group, startupWaitMs, onCommit } = this.#options;
    const reader = await patiently(() => KafkaLogReader.connect({ clientId: `afterimage-${group}`, ...kafka }), {
      signal,
      logger,
      limitMs: startupWaitMs ?? 60_000,
    });
    if (reader === undefined) {
      return;
    }
    // Ends a fetch that waits for news.
    const closeReader = () => void reader.close();
    signal.addEventListener("abort", closeReader, { once: true });
    try {
      const watch = new TopicWatch(this.#registered(), session, reader, logger);
      this.#watch = watch;
      const notify = () => onCommit?.(this.position());
      const onReachable = (isReachable: boolean) => {
        this.#isReachable = isReachable;
      };
      const ownStep = this.#ownStep;
      const values = this.#values(reader);
      await new RunLoop({
        session,
        reader,
        watch,
        values,
        logger,
        signal,
        ownStep,
        onCommit: notify,
        onReachable,
      }).run();
    } finally {
      signal.removeEventListener("abort", closeReader);
      await reader.close();
    }
  }

  #registered(): RegisteredTable<Tx>[] {
    const topic = messagesTopic(this.#options.stream);
    const messages = { table: null, topic, registration: byPrefix(this.#messages) };
    return [...this.#tables.values(), ...(this.#messages.size === 0 ? [] : [messages])];
  }

  /** Null: values stay as they are. */
  #values(reader: LogReader): SchemaReader | null {
    const { values, asText, tables, stream } = this.#options;
    if (values !== "decoded" && tables === undefined) {
      return null;
    }
    const patience = { signal: this.#stopping.signal, logger: this.#logger };
    return new SchemaReader(new EventDecoder(tables ?? null, asText ?? []), reader, schemasTopic(stream), patience);
  }

  #state({ lag, waitingFor }: ConsumerPosition): ConsumerState {
    if (this.#ended !== null) {
      return this.#ended;
    }
    if (this.#watch === null) {
      return "starting";
    }
    if (!this.#isReachable) {
      return "disconnected";
    }
    if (lag === 0) {
      return waitingFor.length > 0 ? "waiting" : "live";
    }
    return "catching up";
  }

  #topicOf(table: string): string {
    try {
      const { schema, table: name } = parseTableName(table);
      return tableTopic(this.#options.stream, schema, name);
    } catch (cause) {
      throw new AfterimageError(
        "TABLE_NAME_INVALID",
        `${JSON.stringify(table)} is not the name of a table.`,
        'Write schema.table, each part quoted unless it is a plain lower-case word: public.orders, "a.b".orders.',
        { cause },
      );
    }
  }
}

const standardError: ConsumerLogger = {
  info: (message) => void process.stderr.write(`${message}\n`),
  warn: (message) => void process.stderr.write(`${message}\n`),
};

function invalidOption(name: string, expected: string): AfterimageError {
  return new AfterimageError(
    "CONSUMER_OPTION_INVALID",
    `createConsumer got no usable \`${name}\`.`,
    `Give ${expected}.`,
  );
}
