// Numbers, sizes, times and elements, as the page shows them. Text reaches the page as text nodes only, never as markup.

export const count = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `12.3 MiB`. */
export function bytes(value) {
  const unit = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10));
  return `${short.format(value / 1024 ** unit)} ${UNITS[unit]}`;
}

/** `0.4 s`, `12 s`, `3 min`, `4 h`, `2 days`. */
export function duration(seconds) {
  if (seconds > 0 && seconds < 0.1) return "< 0.1 s";
  if (seconds < 10) return `${Math.floor(Math.max(0, seconds) * 10) / 10} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** `1,234`, `12.3K`; small ones with a digit behind the point. */
export function rate(perSecond) {
  if (perSecond >= 10_000) return compact.format(perSecond);
  return perSecond >= 10 || perSecond === 0 ? count.format(Math.round(perSecond)) : short.format(perSecond);
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** `18:00:05`, with the day where it is another one. */
export function time(iso) {
  const at = new Date(iso);
  return at.toDateString() === new Date().toDateString() ? clock.format(at) : day.format(at);
}

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Names are anybody's text: what can't be seen, or turns the writing direction, is spelt out. */
export function plain(text) {
  return text.replaceAll(HIDDEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export const at = (id) => document.getElementById(id);

/** Leaves what is right already, so that a selection, or a reader's place, survives. */
export function say(id, text) {
  const element = at(id);
  if (element.textContent !== text) element.textContent = text;
}

/** With children: texts and elements. */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className !== "") made.className = className;
  made.append(...children);
  return made;
}

/** Replaces the children when what they show has changed. */
export function redraw(parent, look, draw) {
  const seen = JSON.stringify(look);
  if (parent.dataset.look === seen) return;
  parent.dataset.look = seen;
  parent.replaceChildren(...draw());
}
