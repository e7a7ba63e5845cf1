// A broker whose disk is full: its records are moved to a small file system in memory, which a ballast file then fills.
import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../../dev/servers/process.ts";
import type { Fault } from "../world.ts";
import { CLUSTER_BOUND_MS, leaderOf, ROLES, type Role, whole } from "./cluster.ts";
import { number } from "./steps.ts";

/** What is left for new records before the ballast. */
const FREE_MB = 32;

const copy = (from: string, to: string) => run("cp", ["-a", "--sparse=always", `${from}/.`, to]);

const diskFull: Fault = {
  name: "disk-full-broker",
  needs: "mount",
  clusterBoundMs: CLUSTER_BOUND_MS,
  plan: (random) => ({ role: random.pick(ROLES), loadMs: random.int(0, 2000), fullMs: random.int(1000, 6000) }),
  async strike(world, { role, loadMs, fullMs }) {
    const node = world.kafka.nodes[await leaderOf(world, role as Role)]!;
    const { data } = node;
    const [kept, ballast] = [`${data}.kept`, join(data, "ballast")];
    await node.stop("fast");
    await rename(data, kept);
    await run("mkdir", [data]);
    const [used = "0"] = (await run("du", ["-sm", kept])).split("\t");
    await run("mount", ["-t", "tmpfs", "-o", `size=${Number(used) + FREE_MB}m`, "tmpfs", data]);
    try {
      await copy(kept, data);
      await node.start();
      await whole(world);
      await world.sleep(number(loadMs));
      // It ends with "No space left on device".
      await run("dd", ["if=/dev/zero", `of=${ballast}`, "bs=64k"]).catch(() => undefined);
      await world.sleep(number(fullMs));
      await rm(ballast);
      await node.kill(); // or what is left of it
      await rm(kept, { recursive: true });
      await run("mkdir", [kept]);
      await copy(data, kept);
    } finally {
      await node.kill();
      await run("umount", [data]);
      if (existsSync(kept)) {
        await rm(data, { recursive: true });
        await rename(kept, data);
      }
      await node.start();
    }
    await whole(world);
  },
};

export const DISK_FAULTS: readonly Fault[] = [diskFull];
