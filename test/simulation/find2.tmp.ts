import { runSeedsApart } from "./child.ts";
const from = process.argv[2]!;
const said = await runSeedsApart(["--from", from, "--seeds", "6000", "--stop-at-first"], "does not notice in time that the stream was lost during the start");
console.log(from, said.split("\n").filter((l) => /^seed/.test(l)).slice(0, 2).join(" | ").slice(0, 200));
