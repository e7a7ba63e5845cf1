// One connection of a Kafka client through a proxy, which can hold requests longer than the client stays.
import type { Socket } from "node:net";
import { type Conditions, Lane } from "./lane.ts";

export class KafkaLink {
  readonly client: Socket;
  readonly broker: Socket;
  readonly up: Lane;
  readonly down: Lane;
  /** Correlation ids of the requests that aren't answered yet, with their API keys. */
  readonly asked = new Map<number, number>();
  /** Replies are no longer passed on. */
  silent = false;
  onGone: () => void = () => undefined;
  /** Null when nothing is held. */
  #held: Buffer[] | null = null;
  readonly #released = new Set<number>();
  #settled: (() => void) | null = null;

  constructor(client: Socket, broker: Socket, conditions: Conditions) {
    this.client = client;
    this.broker = broker;
    this.up = new Lane(client, broker, conditions);
    this.down = new Lane(broker, client, conditions);
    client.on("end", () => this.#clientLeft());
    client.on("close", () => this.#clientLeft());
    broker.on("end", () => this.down.end());
    broker.on("close", () => {
      this.down.close();
      this.#held = null;
      this.#settled?.();
      this.onGone();
    });
    for (const socket of [client, broker]) {
      socket.on("error", () => undefined); // "close" follows
    }
  }

  get held(): number {
    return this.#held?.length ?? 0;
  }

  /** From here on, requests are held. */
  hold(): void {
    this.#held ??= [];
  }

  request(frame: Buffer): void {
    if (this.#held === null) {
      this.up.send(frame);
    } else {
      this.#held.push(frame);
    }
  }

  /** To be called with each reply of the broker. */
  answered(correlationId: number): void {
    if (this.#released.delete(correlationId) && this.#released.size === 0) {
      this.#settled?.();
    }
  }

  /** Sends the broker what was held. Resolves when all of it is answered, or the broker is gone. */
  async release(): Promise<number> {
    const frames = this.#held ?? [];
    this.#held = null;
    if (frames.length === 0) return 0;
    for (const frame of frames) {
      this.#released.add(frame.readInt32BE(8));
    }
    const settled = new Promise<void>((resolve) => {
      this.#settled = resolve;
    });
    for (const frame of frames) this.up.send(frame);
    await settled;
    this.#settled = null;
    if (this.client.destroyed) this.broker.destroy();
    return frames.length;
  }

  destroy(): void {
    this.#held = null;
    this.client.destroy();
    this.broker.destroy();
  }

  reset(): void {
    this.#held = null;
    this.client.resetAndDestroy();
    this.broker.resetAndDestroy();
  }

  #clientLeft(): void {
    this.client.destroy();
    if (this.#held === null && this.#settled === null) this.broker.destroy();
  }
}
