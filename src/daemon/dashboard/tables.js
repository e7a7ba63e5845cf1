// The captured tables: how much of each is published, how fast, and how far its snapshot is.
import { at, count, duration, element, plain, rate, redraw } from "/format.js";

/** Rows drawn at a time; more of them make a phone slow. */
const MOST_ROWS = 25;
/** Above so many there is a field to find one. */
const MANY = 8;

/** Looks at the counts, for the events a second: `[{ at, events: Map }]`, over the last ten seconds. */
let looks = [];
let shown = MOST_ROWS;

export function remember({ tables }) {
  const now = performance.now();
  looks = [
    ...looks.filter((look) => now - look.at < 10_000),
    { at: now, events: new Map(tables.map((each) => [each.table, each.events])) },
  ];
}

/** Null until there are two looks, and where the daemon has begun anew meanwhile. */
function perSecond({ table, events }) {
  const [first, last] = [looks[0], looks.at(-1)];
  const before = first?.events.get(table);
  if (before === undefined || first === last || events < before) return null;
  return ((events - before) / (last.at - first.at)) * 1000;
}

export function showTables({ tables, snapshot, state }) {
  const wanted = at("filter").value.trim().toLowerCase();
  const snapshots = new Map(snapshot.map((each) => [each.table, each]));
  // One that is read is worth seeing first.
  const named = [
    ...tables.filter(({ table }) => snapshots.has(table)),
    ...tables.filter(({ table }) => !snapshots.has(table)),
  ].filter(({ table, topic }) => `${table} ${topic}`.toLowerCase().includes(wanted));
  at("filter-label").hidden = tables.length <= MANY;
  at("tables-card").hidden = named.length === 0;
  at("no-tables").hidden = named.length > 0;
  at("no-tables").textContent = emptyText(tables, wanted, state);
  const rows = named
    .slice(0, shown)
    .map((each) => ({ ...each, rate: perSecond(each), snapshot: snapshots.get(each.table) ?? null }));
  redraw(at("tables"), rows, () => rows.map(rowOf));
  const more = at("tables-more");
  more.hidden = named.length <= rows.length;
  redraw(more, [named.length, rows.length], () => {
    const button = element("button", "button", `Show ${Math.min(MOST_ROWS, named.length - rows.length)} more`);
    button.type = "button";
    button.addEventListener("click", () => {
      shown += MOST_ROWS;
      document.dispatchEvent(new Event("tables-wanted"));
    });
    return [`${rows.length} of ${count.format(named.length)} tables. `, button];
  });
}

function emptyText(tables, wanted, state) {
  if (tables.length > 0) return `No table’s name contains “${wanted}”.`;
  return state === "standby" ? "Known to the daemon that streams." : "None is captured yet.";
}

function rowOf({ table, topic, events, rate: speed, snapshot }) {
  const name = element("th", "", element("span", "table-name", plain(table)), element("span", "topic", plain(topic)));
  name.scope = "row";
  // Said again, since the phone's layout takes it from them.
  name.role = "rowheader";
  if (snapshot !== null) name.append(snapshotOf(snapshot));
  const number = (label, text) => {
    const cell = element("td", "number", text);
    cell.dataset.label = label;
    cell.role = "cell";
    return cell;
  };
  const row = element(
    "tr",
    "",
    name,
    number("a second", speed === null ? "–" : rate(speed)),
    number("since the start", count.format(events)),
  );
  row.role = "row";
  return row;
}

function snapshotOf({ table, rows, estimatedRows, rowsPerSecond, secondsLeft, waitingFor }) {
  const part = estimatedRows ? Math.min(1, rows / estimatedRows) : null;
  const progress = document.createElement("progress");
  progress.ariaLabel = `Snapshot of ${plain(table)}`;
  if (part !== null) progress.value = part;
  const words = [
    part === null ? "Snapshot" : `Snapshot ${Math.floor(part * 100)} %`,
    `${count.format(rows)} rows${estimatedRows === null ? "" : ` of about ${count.format(estimatedRows)}`}`,
    ...(rowsPerSecond > 0 ? [`${count.format(rowsPerSecond)} a second`] : []),
    ...(secondsLeft === null ? [] : [`${duration(secondsLeft)} left`]),
    ...(waitingFor === null ? [] : [`waits for ${plain(waitingFor)}`]),
  ];
  return element("span", "snapshot", progress, element("span", "", words.join(", ")));
}
