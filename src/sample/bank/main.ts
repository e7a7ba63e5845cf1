// The bank: `node src/sample/bank/main.ts POSTGRES_URL [PORT]`. Listens on loopback.
import { Bank } from "./bank.ts";
import { bankServer } from "./server.ts";

const [url, port = "7790"] = process.argv.slice(2);
if (url === undefined || !/^\d{1,5}$/.test(port)) {
  process.stderr.write("Usage: node src/sample/bank/main.ts POSTGRES_URL [PORT]\n");
  process.exit(2);
}
const bank = new Bank(url);
const server = bankServer(bank);
const stop = () => {
  server.close(() => void bank.close());
  server.closeAllConnections();
};
process.once("SIGINT", stop).once("SIGTERM", stop);
server.listen(Number(port), "127.0.0.1", () => process.stdout.write(`Audit trail: http://127.0.0.1:${port}/\n`));
