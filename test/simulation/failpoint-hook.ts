// Imported before anything of the product: hands every failpoint that is reached to the simulation that runs just now.
import type { Failpoint } from "../../src/failpoint.ts";

let listener: (name: Failpoint) => void = () => undefined;

Reflect.set(globalThis, Symbol.for("afterimage.failpoint"), (name: Failpoint) => listener(name));

export function onFailpoint(listen: (name: Failpoint) => void): void {
  listener = listen;
}
