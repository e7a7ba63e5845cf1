// A search page over a table of products, written with the SDK alone: `node src/sample/search-index/main.ts --help`.
import { setImmediate as nextTurn } from "node:timers/promises";
import { AfterimageError, createConsumer, sqliteStore } from "../../sdk/index.ts";
import { LiveFeed } from "./live-feed.ts";
import { productHandlers, SETUP } from "./product-view.ts";
import { ProductSearch } from "./search.ts";
import { startSearchServer } from "./server.ts";
import { readSettings, type Settings, USAGE } from "./settings.ts";

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

async function main(settings: Settings): Promise<void> {
  const { brokers, stream, table, file, host, port, allowedHosts } = settings;
  const consumer = createConsumer({
    kafka: { brokers },
    stream,
    group: "search-index",
    store: sqliteStore(file, { setup: SETUP }),
    onCommit: () => feed.committed(),
  });
  let search: ProductSearch | null = null;
  const status = () => {
    const { partitions: _, ...position } = consumer.position();
    return { stream, table, ...position, documents: search?.count() ?? 0 };
  };
  const feed = new LiveFeed(status);
  consumer.register(
    table,
    productHandlers((id) => feed.note(id)),
  );

  const ended = consumer.run();
  // run() sets up the file before it waits for anything, or fails.
  await Promise.race([ended, nextTurn()]);
  search = new ProductSearch(file);
  const stop = () => void consumer.stop();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    const server = await startSearchServer({ host, port, allowedHosts, search, feed, status });
    process.stdout.write(`Search page: ${server.url}\n`);
    await ended.finally(() => {
      feed.close();
      return server.close();
    });
  } finally {
    await consumer.stop();
    search.close();
  }
}

try {
  const settings = readSettings(process.argv.slice(2), process.env);
  if (settings === null) {
    process.stdout.write(`${USAGE}\n`);
  } else {
    await main(settings);
  }
} catch (thrown) {
  const { code, message, advice } =
    thrown instanceof AfterimageError
      ? thrown
      : { code: "INTERNAL", message: String(thrown), advice: "This is a fault of the program; please report it." };
  process.stderr.write(`${code}: ${message}\n  → ${advice}\n`);
  process.exitCode = code === "USAGE_INVALID" ? EXIT_USAGE : EXIT_FAILURE;
}
