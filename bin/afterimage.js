#!/usr/bin/env node
// The command `afterimage`. Plain JavaScript, so that an old Node can read it and say what is missing.
import { existsSync } from "node:fs";

if (Number(process.versions.node.split(".")[0]) < 24) {
  process.stderr.write(
    `NODE_TOO_OLD: afterimage needs Node 24 or later, this is ${process.versions.node} (npm install -g node@24, or https://nodejs.org).\n`,
  );
  process.exit(1);
}

// Linux ends a container's first process only by a signal that it handles, so what no command handles is handled here.
if (process.pid === 1) {
  for (const [signal, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
  ]) {
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(128 + number);
    });
  }
}

// A package has dist; in a checkout Node runs the sources as they are.
const built = new URL("../dist/cli/program.js", import.meta.url);
const source = new URL("../src/cli/program.ts", import.meta.url);
const { main } = await import((existsSync(source) ? source : built).href);
await main(process.argv);
