// Waiting for a condition, the only way in which tests wait.
export { type WaitOptions, waitFor } from "../../dev/servers/wait-for.ts";
