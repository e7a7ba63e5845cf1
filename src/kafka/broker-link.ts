// One connection to one broker, carrying one request at a time: a long fetch never delays another request, and after
// a reply that did not come the connection is thrown away with it.
import { AfterimageError, messageOf } from "../errors.ts";
import { NoReply, unreachable } from "./errors.ts";
import { createKafkajsConnection, type KafkajsConnection } from "./kafkajs.ts";
import { type ApiVersions, apiVersions } from "./protocol/api-versions.ts";
import { ErrorCode } from "./protocol/error-code.ts";
import { ReplyReader } from "./protocol/reply-reader.ts";
import { frame, type KafkaRequest } from "./protocol/request.ts";
import { type BrokerAddress, formatBrokerAddress, type KafkaSettings } from "./settings.ts";

const SASL_AUTHENTICATE = 36;

/** A connection to one broker that carries one request at a time. */
export interface Link {
  readonly address: BrokerAddress;
  /** False when it is gone, or its SASL session is about to end. */
  readonly usable: boolean;
  /** Throws NoReply; the link is closed then. */
  send<Reply>(request: KafkaRequest<Reply>, timeoutMs: number): Promise<Reply>;
  /** Ends the connection at once; a request under way gets NoReply. */
  close(): void;
}

export type OpenLink = (
  address: BrokerAddress,
  settings: KafkaSettings,
  timeoutMs: number,
  signal: AbortSignal,
) => Promise<Link>;

export class BrokerLink implements Link {
  readonly address: BrokerAddress;
  readonly #clientId: string;
  readonly #withSasl: boolean;
  readonly #connection: KafkajsConnection;
  #versions: ApiVersions = {};
  #lost = false;

  private constructor(address: BrokerAddress, settings: KafkaSettings, connectionTimeoutMs: number) {
    this.address = address;
    this.#clientId = settings.clientId;
    this.#withSasl = settings.sasl !== undefined;
    this.#connection = createKafkajsConnection({
      ...address,
      clientId: settings.clientId,
      ssl: typeof settings.ssl === "object" ? settings.ssl : settings.ssl === true ? {} : null,
      // kafkajs keeps its authenticator in this object: each connection needs its own.
      sasl: settings.sasl === undefined ? null : { ...settings.sasl },
      connectionTimeout: connectionTimeoutMs,
    });
  }

  /** Connects and authenticates. Throws KAFKA_UNREACHABLE, KAFKA_TLS_FAILED or KAFKA_AUTHENTICATION_FAILED. */
  static async open(
    address: BrokerAddress,
    settings: KafkaSettings,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<BrokerLink> {
    const link = new BrokerLink(address, settings, timeoutMs);
    const { promise: givenUp, reject } = Promise.withResolvers<never>();
    const giveUp = () =>
      reject(link.#unanswered(`did not accept a connection within ${Math.ceil(timeoutMs)} ms`, false));
    const timer = setTimeout(giveUp, timeoutMs);
    signal.addEventListener("abort", giveUp);
    try {
      await Promise.race([link.#open(), givenUp]);
      return link;
    } catch (error) {
      const wasLost = link.#lost;
      link.close();
      if (error instanceof NoReply) {
        throw unreachable(error.message, false, error); // whatever was sent, it was not the caller's request
      }
      throw error instanceof AfterimageError ? error : link.#explain(error, wasLost);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
    }
  }

  get usable(): boolean {
    return !this.#lost && (!this.#withSasl || this.#connection.isAuthenticated());
  }

  async send<Reply>(request: KafkaRequest<Reply>, timeoutMs: number): Promise<Reply> {
    const supported = this.#versions[request.apiKey];
    if (supported === undefined || request.version < supported.minVersion || request.version > supported.maxVersion) {
      throw new AfterimageError(
        "KAFKA_VERSION_UNSUPPORTED",
        `The broker at ${formatBrokerAddress(this.address)} does not understand ${request.name} version ${request.version}.`,
        "Use Kafka 3.9 or 4.x.",
      );
    }
    return this.#exchange(request, timeoutMs);
  }

  close(): void {
    this.#lost = true;
    this.#connection.rejectRequests(this.#unanswered("was disconnected", true));
    // The error makes kafkajs clear its connection timer, which would keep the process alive.
    this.#connection.socket?.destroy(new Error("closed"));
  }

  async #open(): Promise<void> {
    const connecting = this.#connection.connect();
    const { socket } = this.#connection;
    socket?.setNoDelay(true);
    const closed = new Promise<never>((_, reject) => {
      socket?.once("close", () => {
        this.#lost = true;
        reject(this.#unanswered("closed the connection", false));
      });
    });
    closed.catch(() => {}); // after opening, nobody waits for this any more
    await Promise.race([this.#handshake(connecting), closed]);
  }

  async #handshake(connecting: Promise<true>): Promise<void> {
    await connecting;
    const { error, versions } = await this.#exchange(apiVersions, 0x7fff_ffff);
    if (error !== 0) {
      throw this.#unanswered("does not speak Kafka's protocol", false);
    }
    this.#versions = versions;
    this.#connection.setVersions(versions);
    this.#connection.setSupportAuthenticationProtocol(versions[SASL_AUTHENTICATE] !== undefined);
    if (this.#withSasl) {
      await this.#connection.authenticate();
    }
  }

  async #exchange<Reply>(request: KafkaRequest<Reply>, timeoutMs: number): Promise<Reply> {
    const connection = this.#connection;
    const socket = connection.socket;
    if (this.#lost || socket === undefined) {
      throw this.#unanswered("was disconnected", false);
    }
    const correlationId = connection.nextCorrelationId();
    const bytes = frame(request, correlationId, this.#clientId);
    const timer = setTimeout(() => {
      connection.rejectRequests(
        this.#unanswered(`gave no answer to ${request.name} within ${Math.ceil(timeoutMs)} ms`, true),
      );
      this.close();
    }, timeoutMs);
    try {
      const { payload } = await new Promise<{ payload: Buffer }>((resolve, reject) => {
        connection.requestQueue.push({
          entry: {
            apiKey: request.apiKey,
            apiName: request.name,
            apiVersion: request.version,
            correlationId,
            resolve,
            reject,
          },
          expectResponse: true,
          requestTimeout: null,
          sendRequest: () => {
            socket.write(bytes);
          },
        });
      });
      return this.#read(request, payload);
    } catch (error) {
      this.close();
      throw error instanceof AfterimageError
        ? error
        : unreachable(
            `The connection to ${formatBrokerAddress(this.address)} broke: ${messageOf(error)}.`,
            true,
            error,
          );
    } finally {
      clearTimeout(timer);
    }
  }

  #read<Reply>(request: KafkaRequest<Reply>, payload: Buffer): Reply {
    const reader = new ReplyReader(payload);
    if (request.flexible) {
      reader.skipTags();
    }
    return request.read(reader);
  }

  #unanswered(what: string, sent: boolean): NoReply {
    return unreachable(`The Kafka broker at ${formatBrokerAddress(this.address)} ${what}.`, sent);
  }

  /** kafkajs's errors tell by name and by node's `code` what went wrong. */
  #explain(error: unknown, wasLost: boolean): AfterimageError {
    const where = formatBrokerAddress(this.address);
    const { name, code } = error as { name?: string; code?: string | number };
    if (name === "KafkaJSSASLAuthenticationError" && !wasLost) {
      return loginFailed(`The Kafka broker at ${where} refused the SASL login.`, "username and password");
    }
    switch (code) {
      case ErrorCode.UNSUPPORTED_SASL_MECHANISM:
        return loginFailed(`The Kafka broker at ${where} does not offer this SASL mechanism.`, "mechanism");
      case ErrorCode.ILLEGAL_SASL_STATE:
        return loginFailed(
          `The Kafka broker at ${where} does not expect a SASL login.`,
          "leave it out, or name another port",
        );
    }
    if (
      typeof code === "string" &&
      /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO)/.test(code)
    ) {
      return new AfterimageError(
        "KAFKA_TLS_FAILED",
        `No TLS connection to the Kafka broker at ${where}: ${code}.`,
        "Check kafka.ssl: the certificate authority, the host name in the broker's certificate, and that this listener speaks TLS.",
      );
    }
    return unreachable(`The Kafka broker at ${where} can't be reached: ${code ?? messageOf(error)}.`, false, error);
  }
}

function loginFailed(what: string, check: string): AfterimageError {
  return new AfterimageError("KAFKA_AUTHENTICATION_FAILED", what, `Check kafka.sasl: ${check}.`);
}
