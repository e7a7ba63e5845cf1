// Loaded before a run (`node --import`): the mutant named by SIMULATION_MUTANT takes the place of the source file it changes.
import { registerHooks } from "node:module";
import { MUTANTS } from "./mutants.ts";

const mutant = MUTANTS.find(({ name }) => name === process.env.SIMULATION_MUTANT);
if (mutant === undefined) {
  throw new Error(`There is no mutant ${JSON.stringify(process.env.SIMULATION_MUTANT)}.`);
}

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    if (!url.endsWith(mutant.file)) {
      return loaded;
    }
    let source = Buffer.from(loaded.source as Uint8Array).toString("utf8");
    for (const [from, to] of mutant.changes) {
      if (source.split(from).length !== 2) {
        throw new Error(`${mutant.file} has ${source.split(from).length - 1} times: ${from}`);
      }
      source = source.replace(from, () => to);
    }
    return { ...loaded, source };
  },
});
