// Old versions of an event's data, brought to the current form when they are read. What is stored never changes.
import { AfterimageError } from "../../errors.ts";
import { invalid } from "./events.ts";

/**
 * For each type the steps of its history: the first brings version 1 to version 2, the next 2 to 3, and so on. What is
 * appended now has the last version. A step must not depend on anything but its argument.
 */
// biome-ignore lint/suspicious/noExplicitAny: the forms of old data are known to the application alone
export type Upcasters = Record<string, readonly ((data: any) => any)[]>;

export class Upcasting {
  readonly #steps: ReadonlyMap<string, Upcasters[string]>;

  constructor(upcasters: Upcasters) {
    this.#steps = new Map(Object.entries(upcasters));
    for (const [type, steps] of this.#steps) {
      if (!Array.isArray(steps) || steps.some((step) => typeof step !== "function")) {
        throw invalid(`The upcasters of ${type} are an array of functions.`);
      }
    }
  }

  currentVersion(type: string): number {
    return (this.#steps.get(type)?.length ?? 0) + 1;
  }

  /** @throws EVENT_VERSION_UNKNOWN for an event that a newer program has written */
  upcast(type: string, version: number, data: unknown): unknown {
    if (version > this.currentVersion(type)) {
      throw new AfterimageError(
        "EVENT_VERSION_UNKNOWN",
        `An event ${type} has version ${version} of its data, and this program knows versions up to ${this.currentVersion(type)}.`,
        "A newer version of the application has written it: update this one, or give it the missing upcasters.",
      );
    }
    return (this.#steps.get(type) ?? []).slice(version - 1).reduce((old, step) => step(old), data);
  }
}
