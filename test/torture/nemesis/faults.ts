// Every fault that a history can be struck by.
import type { Fault } from "../world.ts";
import { BROKER_FAULTS } from "./broker-faults.ts";
import { DISK_FAULTS } from "./disk-faults.ts";
import { KAFKA_FAULTS } from "./kafka-faults.ts";
import { POSTGRES_FAULTS } from "./postgres-faults.ts";
import { PROCESS_FAULTS } from "./process-faults.ts";

export const FAULTS: readonly Fault[] = [
  ...PROCESS_FAULTS,
  ...POSTGRES_FAULTS,
  ...KAFKA_FAULTS,
  ...BROKER_FAULTS,
  ...DISK_FAULTS,
];
