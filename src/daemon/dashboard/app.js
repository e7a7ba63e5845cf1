// The dashboard: asks the daemon that served it every two seconds, and shows what it says.
import { Charts } from "/charts.js";
import { at, bytes, count, duration, element, plain, rate, redraw, say, time } from "/format.js";
import { remember, showTables } from "/tables.js";
import { attentionOf, forecastOf, isStreaming, lagOf, moodOf, standbyOf, stateOf } from "/words.js";

const EVERY_MS = 2_000;
/** While nobody looks. */
const HIDDEN_MS = 15_000;
const PATIENCE_MS = 5_000;

const charts = new Charts(at("charts"));
let status = null;
let heardAt = null;
let timer;

async function ask(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function look() {
  clearTimeout(timer);
  try {
    const [now, history] = await Promise.all([ask("/status"), ask(`/history?after=${charts.last}`)]);
    status = now;
    heardAt = new Date().toISOString();
    charts.add(history, now.walGuard);
    remember(now);
    show();
  } catch {
    showLost();
  }
  clearTimeout(timer);
  timer = setTimeout(look, document.hidden ? HIDDEN_MS : EVERY_MS);
}

function show() {
  const { title, meaning } = stateOf(status);
  document.body.dataset.mood = moodOf(status);
  document.body.dataset.state = status.state;
  delete document.body.dataset.lost;
  at("lost").hidden = true;
  say("live", title.split(",", 1)[0]);
  say("stream", status.stream);
  say("state", title);
  say("meaning", meaning);
  say("since", `Since ${time(status.since)}, for ${duration((Date.now() - Date.parse(status.since)) / 1000)}.`);
  document.title = `${title} · ${status.stream} · afterimage`;
  showAttention();
  showTiles();
  showTables(status);
  showErrors();
  at("notes-section").hidden = status.notes.length === 0;
  redraw(at("notes"), status.notes, () => status.notes.map((note) => element("li", "", plain(note))));
  say("process", `afterimage ${status.version}, process ${status.pid}`);
}

let announced = "";

function showAttention() {
  const found = attentionOf(status);
  at("attention").hidden = found.length === 0;
  redraw(at("attention"), found, () =>
    found.map(({ level, what, todo }) =>
      element("li", level, element("p", "what", what), element("p", "todo", element("span", "arrow", "→ "), todo)),
    ),
  );
  // Said once when it changes, without the numbers that change all the time.
  const said = [stateOf(status).title.split(",", 1)[0], ...found.map(({ about }) => about)].join(". ");
  if (said !== announced) {
    announced = said;
    say("announcement", said);
  }
}

function showTiles() {
  const { state, position, wal, walGuard, eventsPerSecond, eventsPublished, transactions } = status;
  const [late, behind] = lagOf(status);
  say("lag", late);
  say("lag-bytes", behind);
  say("rate", isStreaming(state) ? rate(eventsPerSecond) : "–");
  say("rate-more", `${count.format(eventsPublished)} since the start, ${bytes(transactions.bytes)}`);
  say("wal", wal === null ? "–" : bytes(wal.retainedBytes));
  say("wal-forecast", wal === null ? "Postgres does not say now" : forecastOf(wal));
  showWalBar(wal, walGuard);
  say("sequence", position === null ? "–" : count.format(position.sequence));
  say("head", position === null ? "–" : count.format(position.sequence));
  const committed = position?.last == null ? "no event yet" : `last commit ${time(position.last.timestamp)}`;
  const epoch = position === null || position.epoch === 1 ? "" : `, epoch ${position.epoch}`;
  say("position", position === null ? "not known yet" : `${committed}, up to ${position.endLsn}${epoch}`);
  const [standby, more] = standbyOf(status);
  say("standby", standby);
  say("standby-more", more);
}

/** Full is where the server gives the slot up, or, where it never does, the guard's alert. */
function showWalBar(wal, { alert }) {
  const bar = at("wal-bar");
  bar.hidden = wal === null;
  if (wal === null) return;
  const bounded = wal.leftBytes !== null;
  const part = Math.min(
    1,
    wal.retainedBytes / Math.max(1, bounded ? wal.retainedBytes + Math.max(0, wal.leftBytes) : alert),
  );
  bar.dataset.level = wal.level;
  bar.ariaLabel = `${Math.round(part * 100)} % of ${bounded ? "what the server keeps at most" : `the alert at ${bytes(alert)}`}`;
  bar.title = bar.ariaLabel;
  bar.firstElementChild.style.width = `${Math.max(part * 100, 0.5)}%`;
}

function showErrors() {
  const { errors, errorCounts } = status;
  at("no-errors").hidden = errors.length > 0;
  at("errors").hidden = errors.length === 0;
  redraw(at("errors"), [errors, errorCounts], () =>
    errors.map(({ code, message, advice, at: when }) => {
      const moment = element("time", "soft", time(when));
      moment.dateTime = when;
      const often =
        errorCounts[code] > 1
          ? element("span", "soft", `${count.format(errorCounts[code])} times since the start`)
          : "";
      return element(
        "li",
        "",
        element("p", "error-head", element("code", "", code), moment, often),
        element("p", "what", plain(message)),
        element("p", "todo", element("span", "arrow", "→ "), plain(advice)),
      );
    }),
  );
}

function showLost() {
  document.body.dataset.mood = "bad";
  document.body.dataset.lost = "";
  say("live", "No answer");
  say("state", "No answer");
  document.title = "No answer · afterimage";
  at("lost").hidden = false;
  say(
    "lost",
    status === null
      ? "The daemon does not answer. This page tries again by itself."
      : `The daemon does not answer: it has ended, or can’t be reached. What is shown is of ${time(heardAt)}, and what it did then was “${stateOf(status).title}”. Its log says more; this page tries again by itself.`,
  );
}

at("filter").addEventListener("input", () => status !== null && showTables(status));
document.addEventListener("tables-wanted", () => showTables(status));
for (const radio of document.querySelectorAll("input[name=range]")) {
  radio.addEventListener("change", () => {
    charts.range = Number(radio.value);
  });
}
document.addEventListener("visibilitychange", () => !document.hidden && look());

look();
