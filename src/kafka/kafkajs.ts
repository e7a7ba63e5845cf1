// The only place that reaches into kafkajs: its Connection gives sockets, TLS, SASL and the framing of replies.
// kafkajs 2.2.4 is frozen and has no `exports` map; a test pins the version and that these modules exist. Nothing of
// its retry, metadata, producer or consumer layers is used.
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";

const require = createRequire(import.meta.url);

interface QuietLogger {
  namespace(): QuietLogger;
  debug(): void;
  info(): void;
  warn(): void;
  error(): void;
}

/** What kafkajs calls a request queue: matches replies to requests by correlation id. */
interface RequestQueue {
  pending: unknown[];
  push(request: {
    entry: {
      apiKey: number;
      apiName: string;
      apiVersion: number;
      correlationId: number;
      resolve: (reply: { payload: Buffer }) => void;
      reject: (error: Error) => void;
    };
    expectResponse: true;
    requestTimeout: null;
    sendRequest: () => void;
  }): void;
  scheduleCheckPendingRequests(): void;
}

export interface KafkajsConnection {
  readonly socket: Socket | undefined;
  readonly requestQueue: RequestQueue;
  connect(): Promise<true>;
  disconnect(): Promise<true>;
  isConnected(): boolean;
  isAuthenticated(): boolean;
  authenticate(): Promise<void>;
  setVersions(versions: Record<number, { minVersion: number; maxVersion: number }>): void;
  setSupportAuthenticationProtocol(supported: boolean): void;
  nextCorrelationId(): number;
  rejectRequests(error: Error): void;
}

interface ConnectionSettings {
  host: string;
  port: number;
  clientId: string;
  ssl: ConnectionOptions | null;
  sasl: object | null;
  logger: QuietLogger;
  socketFactory: unknown;
  connectionTimeout: number;
  requestTimeout: number;
  enforceRequestTimeout: boolean;
}

const Connection = require("kafkajs/src/network/connection.js") as new (
  settings: ConnectionSettings,
) => KafkajsConnection;
const createSocketFactory = require("kafkajs/src/network/socketFactory.js") as () => unknown;

// kafkajs logs retriable errors at ERROR level; what matters is thrown, so its lines go nowhere.
const quiet: QuietLogger = { namespace: () => quiet, debug() {}, info() {}, warn() {}, error() {} };

export function createKafkajsConnection(
  settings: Pick<ConnectionSettings, "host" | "port" | "clientId" | "ssl" | "sasl" | "connectionTimeout">,
): KafkajsConnection {
  const connection = new Connection({
    ...settings,
    logger: quiet,
    socketFactory: createSocketFactory(),
    // Time limits are kept by broker-link: kafkajs's follow the wall clock, which may step.
    requestTimeout: 0x7fff_ffff,
    enforceRequestTimeout: false,
  });
  // A link has one request at a time, so nothing is ever pending here; the original sets a timer with a negative
  // delay after every reply, which Node answers with TimeoutNegativeWarning.
  connection.requestQueue.scheduleCheckPendingRequests = () => {};
  return connection;
}
