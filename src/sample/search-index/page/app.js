// The search page: searches as one types, searches again when rows changed, and shows how far the view is.
import { drawResults } from "/result-list.js";

const PAGE_SIZE = 20;
const MOST_RESULTS = 100;
const TYPING_PAUSE_MS = 50;
const ANNOUNCE_AFTER_MS = 700;

const at = (id) => document.getElementById(id);
const input = at("query");
const count = new Intl.NumberFormat();

let limit = PAGE_SIZE;
let shownQuery = null;
let documents = null;
let asking = null;
let typing;
let announcing;

async function search() {
  clearTimeout(typing);
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const query = input.value;
  try {
    const response = await fetch(`/api/search?${new URLSearchParams({ q: query, limit })}`, { signal });
    if (!response.ok) {
      return showNotice(
        "The search failed",
        `The server answered ${response.status}. What is shown may be old.`,
        "Try again",
        search,
      );
    }
    show(await response.json(), query);
  } catch {
    // Another search took its place, or the server can't be reached.
    if (!signal.aborted) {
      showNotice(
        "The search does not answer",
        "Its server can't be reached. What is shown may be old.",
        "Try again",
        search,
      );
    }
  }
}

function show(result, query) {
  const isSearch = query.trim() !== "";
  drawResults(at("results"), result.hits, { isSameSearch: query === shownQuery });
  shownQuery = query;
  at("heading").textContent = isSearch ? "Results" : "Recently changed";
  const total = `${count.format(result.total)} ${result.total === 1 ? "product" : "products"}`;
  at("count").textContent = result.total === 0 ? "" : isSearch ? `${total} found` : total;
  at("took").textContent = `${result.milliseconds.toFixed(1)} ms`;
  at("more").hidden = result.hits.length >= result.total || limit >= MOST_RESULTS;
  if (result.total > 0) {
    at("notice").hidden = true;
  } else if (isSearch && documents !== 0) {
    showNotice(
      `Nothing found for “${query.trim()}”`,
      "Try fewer words, or the beginning of one.",
      "Clear the search",
      clear,
    );
  } else {
    showNotice("No products yet", "Rows that are written to the table appear here by themselves.");
  }
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    const said = result.total === 0 ? "No products found" : `${total}${isSearch ? " found" : ""}`;
    if (at("announcement").textContent !== said) {
      at("announcement").textContent = said;
    }
  }, ANNOUNCE_AFTER_MS);
}

function showNotice(title, text, action, act) {
  at("notice-title").textContent = title;
  at("notice-text").textContent = text;
  at("notice-action").hidden = action === undefined;
  at("notice-action").textContent = action ?? "";
  at("notice-action").onclick = act ?? null;
  at("notice").hidden = false;
}

function clear() {
  input.value = "";
  limit = PAGE_SIZE;
  rememberQuery();
  search();
  input.focus();
}

function rememberQuery() {
  history.replaceState(null, "", input.value === "" ? "/" : `/?${new URLSearchParams({ q: input.value })}`);
}

const LIVE_TEXT = {
  starting: "Starting",
  waiting: "Waiting for the topic",
  "catching up": "Catching up",
  live: "Live",
  disconnected: "Kafka does not answer",
  stopped: "Stopped",
  failed: "Failed",
};

function showStatus(status) {
  setLive(status.state, LIVE_TEXT[status.state] ?? status.state);
  documents = status.documents;
  at("documents").textContent = count.format(status.documents);
  at("sequence").textContent = count.format(status.sequence);
  const committed = at("committed");
  committed.textContent = status.timestamp === null ? "–" : new Date(status.timestamp).toLocaleTimeString();
  committed.title = status.timestamp ?? "";
  at("lag").textContent =
    status.lag === null
      ? "–"
      : status.lag === 0
        ? "none"
        : `${count.format(status.lag)} · ${(status.lagSeconds ?? 0).toFixed(1)} s`;
}

function setLive(state, text) {
  at("live").dataset.state = state;
  if (at("live-text").textContent !== text) {
    at("live-text").textContent = text;
  }
}

function follow() {
  const live = new EventSource("/api/live");
  let wasLost = false;
  live.onmessage = ({ data }) => {
    const status = JSON.parse(data);
    showStatus(status);
    // Null: too many changed to be named. A page that was cut off has missed some.
    if (wasLost || status.changed === null || status.changed.length > 0) {
      wasLost = false;
      search();
    }
  };
  live.onerror = () => {
    wasLost = true;
    setLive("offline", "Connection lost");
    if (live.readyState === EventSource.CLOSED) {
      setTimeout(follow, 2000);
    }
  };
}

input.addEventListener("input", () => {
  limit = PAGE_SIZE;
  rememberQuery();
  clearTimeout(typing);
  typing = setTimeout(search, TYPING_PAUSE_MS);
});
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
at("more").addEventListener("click", () => {
  limit = Math.min(limit + PAGE_SIZE, MOST_RESULTS);
  search();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== input && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    input.focus();
    input.select();
  } else if (event.key === "Escape" && document.activeElement === input) {
    clear();
  }
});
window.addEventListener("pageshow", () => search());

input.value = new URLSearchParams(location.search).get("q") ?? "";
if (matchMedia("(hover: hover)").matches) {
  input.focus();
}
follow();
