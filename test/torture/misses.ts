// Looks that could not be taken: left out, but counted.
import { messageOf } from "../../src/errors.ts";
import type { Misses as Told } from "./evidence.ts";

export class Misses {
  #count = 0;
  #last: string | null = null;

  get told(): Told {
    return { count: this.#count, last: this.#last };
  }

  note(error: unknown): void {
    this.#count++;
    this.#last = messageOf(error);
  }

  count(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.note(error);
    }
  }
}
