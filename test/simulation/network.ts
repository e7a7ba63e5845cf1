// The network between the daemons and the brokers: every request has a fate, drawn from the seed. It may be lost on the
// way there or back, with the connection broken or without a word, or arrive long after its sender has given up.
import type { Link, OpenLink } from "../../src/kafka/broker-link.ts";
import { type NoReply, unreachable } from "../../src/kafka/errors.ts";
import { ReplyReader } from "../../src/kafka/protocol/reply-reader.ts";
import { frame, type KafkaRequest } from "../../src/kafka/protocol/request.ts";
import type { BrokerAddress } from "../../src/kafka/settings.ts";
import type { Random } from "../torture/random.ts";
import { answer } from "./kafka/broker.ts";
import type { Cluster } from "./kafka/cluster.ts";
import type { Process, Scheduler, Task } from "./scheduler.ts";

/** Chances of each fate, 0 to 1. */
export interface NetworkFaults {
  readonly lostRequest: number;
  readonly lostReply: number;
  readonly lateRequest: number;
  readonly slow: number;
}

export const NO_NETWORK_FAULTS: NetworkFaults = { lostRequest: 0, lostReply: 0, lateRequest: 0, slow: 0 };

/** A late request or reply takes up to one of these: within the sender's patience, or beyond it. */
const LATE_MS = [20, 200, 500, 30_000] as const;

export class Network {
  faults: NetworkFaults = NO_NETWORK_FAULTS;
  /** The next reply to a request of this name is lost. */
  doomed: string | null = null;
  readonly #scheduler: Scheduler;
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #trace: ((text: string) => void) | null;
  readonly #links = new Set<SimulatedLink>();

  constructor(scheduler: Scheduler, cluster: Cluster, random: Random, trace: ((text: string) => void) | null) {
    this.#scheduler = scheduler;
    this.#cluster = cluster;
    this.#random = random;
    this.#trace = trace;
  }

  /** How a process opens links. Node n is at `node:n`. */
  opener(process: Process): OpenLink {
    return (address, _settings, _timeoutMs, signal) =>
      new Promise((resolve, reject) => {
        const lost = () => reject(unreachable(`Broker ${address.port} does not accept.`, false));
        this.#scheduler.after(this.latency(), process, () => {
          if (signal.aborted || !this.#cluster.isUp(address.port)) {
            lost();
            return;
          }
          const link = new SimulatedLink(this, this.#scheduler, process, address);
          this.#links.add(link);
          resolve(link);
        });
      });
  }

  /** What becomes of the connections to a node that goes away. */
  cutNode(node: number): void {
    for (const link of this.#links) {
      if (link.address.port === node) {
        link.break("went away");
      }
    }
  }

  forget(link: SimulatedLink): void {
    this.#links.delete(link);
  }

  latency(): number {
    return this.#random.int(5, 120) / 100;
  }

  /** Sends bytes on their way; `onReply` gets the payload, `onBroken` is called when the connection breaks instead. */
  carry(link: SimulatedLink, name: string, bytes: Buffer, onReply: (payload: Buffer) => void): void {
    const { lostRequest, lostReply, lateRequest, slow } = this.faults;
    const scheduler = this.#scheduler;
    const random = this.#random;
    const owner = link.process;
    const breaks = random.chance(0.5);
    const breakSoon = () => {
      if (breaks) {
        scheduler.after(this.latency(), owner, () => link.break("broke"));
      }
    };
    if (random.chance(lostRequest)) {
      this.#trace?.(`${owner.name}: ${name} to ${link.address.port} is lost`);
      breakSoon();
      return;
    }
    const isLate = random.chance(lateRequest);
    const there = isLate ? random.int(1, random.pick(LATE_MS)) : this.latency();
    if (isLate) {
      this.#trace?.(`${owner.name}: ${name} to ${link.address.port} will be late by ${there} ms`);
      breakSoon();
    }
    const isReplyLost = random.chance(lostReply) || this.doomed === name;
    this.doomed = this.doomed === name ? null : this.doomed;
    const back = random.chance(slow) ? random.int(1, random.pick(LATE_MS)) : this.latency();
    const node = link.address.port;
    scheduler.after(there, null, () => {
      if (!this.#cluster.isUp(node)) {
        scheduler.after(this.latency(), owner, () => link.break("broke"));
        return;
      }
      const { payload, told, waitMs } = answer(this.#cluster, node, bytes);
      this.#trace?.(`${owner.name} -> ${node}: ${told}${isReplyLost ? " (reply lost)" : ""}`);
      if (isReplyLost) {
        breakSoon();
      } else {
        scheduler.after(back + waitMs, owner, () => onReply(payload));
      }
    });
  }
}

class SimulatedLink implements Link {
  readonly address: BrokerAddress;
  readonly process: Process;
  readonly #network: Network;
  readonly #scheduler: Scheduler;
  #pending: { timer: Task; reject: (error: NoReply) => void } | null = null;
  #open = true;

  constructor(network: Network, scheduler: Scheduler, process: Process, address: BrokerAddress) {
    this.#network = network;
    this.#scheduler = scheduler;
    this.process = process;
    this.address = address;
  }

  get usable(): boolean {
    return this.#open;
  }

  async send<Reply>(request: KafkaRequest<Reply>, timeoutMs: number): Promise<Reply> {
    if (!this.#open) {
      throw unreachable(`Broker ${this.address.port} was disconnected.`, false);
    }
    // A copy: the writer may use its buffer again.
    const bytes = Buffer.from(frame(request, 1, "simulated"));
    return new Promise((resolve, reject) => {
      if (this.process.dead) {
        return; // it was killed in this very step
      }
      const timer = this.#scheduler.after(timeoutMs, this.process, () =>
        this.break(`gave no answer to ${request.name}`),
      );
      this.#pending = { timer, reject };
      this.#network.carry(this, request.name, bytes, (payload) => {
        if (this.#pending?.timer === timer) {
          this.#scheduler.cancel(timer);
          this.#pending = null;
          const reader = new ReplyReader(payload);
          if (request.flexible) {
            reader.skipTags();
          }
          resolve(request.read(reader));
        }
      });
    });
  }

  close(): void {
    this.break("was disconnected");
  }

  break(how: string): void {
    this.#open = false;
    this.#network.forget(this);
    if (this.#pending !== null) {
      const { timer, reject } = this.#pending;
      this.#pending = null;
      this.#scheduler.cancel(timer);
      reject(unreachable(`Broker ${this.address.port} ${how}.`, true));
    }
  }
}
