// Tells open pages what changed, as server-sent events, at most a few times a second.
import type { ServerResponse } from "node:http";

/** Ids of products that changed since the last message; null when too many to name, or all of them. */
export type ChangedIds = readonly string[] | null;

const AT_MOST_EVERY_MS = 200;
const AT_LEAST_EVERY_MS = 1_000;
const MOST_IDS = 200;
const MOST_PAGES = 100;

export class LiveFeed {
  readonly #status: () => object;
  readonly #pages = new Set<ServerResponse>();
  readonly #heartbeat: NodeJS.Timeout;
  #changed: Set<string> | null = new Set();
  #isDue = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(status: () => object) {
    this.#status = status;
    this.#heartbeat = setInterval(() => this.#send(), AT_LEAST_EVERY_MS);
    this.#heartbeat.unref();
  }

  /** False when too many pages are open already. */
  add(response: ServerResponse): boolean {
    if (this.#pages.size >= MOST_PAGES) {
      return false;
    }
    this.#pages.add(response);
    response.on("close", () => this.#pages.delete(response));
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write(`retry: 1000\n${this.#message([])}`);
    return true;
  }

  /** Notes a change that is about to be committed; null stands for every product. */
  note(id: string | null): void {
    if (id === null || (this.#changed !== null && this.#changed.size >= MOST_IDS)) {
      this.#changed = null;
    } else {
      this.#changed?.add(id);
    }
  }

  /** What was noted is committed. */
  committed(): void {
    this.#isDue = true;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.#isDue) {
        this.#send();
      }
    }, AT_MOST_EVERY_MS);
  }

  close(): void {
    clearInterval(this.#heartbeat);
    clearTimeout(this.#timer ?? undefined);
    for (const page of this.#pages) {
      page.end();
    }
  }

  #send(): void {
    const changed = this.#isDue ? this.#takeChanged() : [];
    this.#isDue = false;
    if (this.#pages.size === 0) {
      return;
    }
    const message = this.#message(changed);
    for (const page of this.#pages) {
      // A page that doesn't read gets no backlog: it will ask anew when it comes back.
      if (page.writableLength > 64 * 1024) {
        page.destroy();
      } else {
        page.write(message);
      }
    }
  }

  #takeChanged(): ChangedIds {
    const changed = this.#changed === null ? null : [...this.#changed];
    this.#changed = new Set();
    return changed;
  }

  #message(changed: ChangedIds): string {
    return `data: ${JSON.stringify({ ...this.#status(), changed })}\n\n`;
  }
}
