// What a kill in the middle of a snapshot costs: rows that had been read, and are read again by the next life. A row that
// comes again counts for the kill that ended the life which had read it last.

interface Lost {
  rows: number;
  bytes: number;
}

export class ReadsLost {
  /** Of the snapshot that is taken: in which life each row was read last. */
  readonly #read = new Map<string, number>();
  readonly #lost: Lost[] = [];
  readonly #connections = new Set<number>();
  #life = 0;
  /** Connections that brought rows in one life, the most so far. */
  mostConnections = 0;

  /** Another snapshot reads all rows anew. */
  begin(): void {
    this.#read.clear();
  }

  killed(): void {
    this.#life++;
    this.#connections.clear();
  }

  row(key: string, bytes: number, connection: number): void {
    const life = this.#read.get(key);
    this.#read.set(key, this.#life);
    this.#connections.add(connection);
    this.mostConnections = Math.max(this.mostConnections, this.#connections.size);
    if (life !== undefined && life < this.#life) {
      this.#lost[life] ??= { rows: 0, bytes: 0 };
      this.#lost[life].rows++;
      this.#lost[life].bytes += bytes;
    }
  }

  /** By the kill that cost most of each. */
  get most(): Lost {
    const lost = this.#lost.filter(Boolean);
    return {
      rows: lost.reduce((most, { rows }) => Math.max(most, rows), 0),
      bytes: lost.reduce((most, { bytes }) => Math.max(most, bytes), 0),
    };
  }

  get all(): number {
    return this.#lost.reduce((sum, { rows }) => sum + rows, 0);
  }
}
