// The curves: four of them, drawn by uPlot on canvas, each with its words for those who can't see it.

import { bytes, duration, element, rate } from "/format.js";
import uPlot from "/uplot.js";

/** Places in a point of the history. */
const [TIME, LAG_BYTES, LAG_SECONDS, EVENTS, BYTES, RETAINED] = [0, 1, 2, 3, 4, 5];
const MOST_POINTS = 900;
const SECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400, 604_800];
const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power);
const TIMES = [10, 30, 60, 120, 300, 600];
/** So long an axis is at least; before there is more to show, the curves are not squeezed to its end. */
const SHORTEST_S = 60;

const ofPoint = (place) => (points) => points.map((point) => point[place]);

/** By how much a counter grew each second; null where the points are apart, or of another process. */
const growth = (place) => (points, every) =>
  points.map((point, index) => {
    const before = points[index - 1];
    const seconds = before === undefined ? 0 : point[TIME] - before[TIME];
    const grown = before === undefined ? -1 : point[place] - before[place];
    return grown < 0 || seconds > 3 * every ? null : grown / seconds;
  });

const CHARTS = [
  { title: "Lag", of: ofPoint(LAG_SECONDS), format: duration, incrs: SECONDS, top: 1 },
  { title: "Events a second", of: growth(EVENTS), format: rate, top: 10 },
  { title: "Bytes a second", of: growth(BYTES), format: bytes, incrs: POWERS, top: 1024 },
  { title: "WAL to be published", of: ofPoint(LAG_BYTES), format: bytes, incrs: POWERS, top: 1024 },
  { title: "WAL kept by the slot", of: ofPoint(RETAINED), format: bytes, incrs: POWERS, top: 1024 ** 2, limits: true },
];

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const exactly = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Charts {
  #points = [];
  #every = 2;
  #range = 1800;
  #limits = [];
  #charts;

  constructor(parent) {
    this.#charts = CHARTS.map((chart) => this.#make(parent, chart));
    // Colours are the style sheet's, and read again when it is evening.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const { plot } of this.#charts) plot.redraw(false);
    });
  }

  /** Time of the latest point; 0 before the first. */
  get last() {
    return this.#points.at(-1)?.[TIME] ?? 0;
  }

  set range(seconds) {
    this.#range = seconds;
    this.#draw();
  }

  add({ everySeconds, points }, { warn, alert, giveUp }) {
    this.#every = everySeconds;
    this.#points = [...this.#points, ...points].slice(-MOST_POINTS);
    this.#limits = [
      ["warning", warn],
      ["alert", alert],
      ["give up", giveUp],
    ].filter(([, limit]) => limit !== null);
    this.#draw();
  }

  #draw() {
    const end = this.last;
    const from = Math.max(end - this.#range, Math.min(this.#points[0]?.[TIME] ?? 0, end - SHORTEST_S));
    const begin = this.#points.findIndex((point) => point[TIME] >= from);
    for (const chart of this.#charts) {
      // Growth needs the point before the first one that is shown.
      const values = chart.of(this.#points, this.#every).slice(begin);
      chart.values = values;
      chart.plot.setData([this.#points.slice(begin).map((point) => point[TIME]), values], false);
      chart.plot.setScale("x", { min: from, max: end });
      this.#describe(chart);
    }
  }

  #describe({ title, format, figure, now, picture, values }) {
    const known = values.filter((value) => value !== null);
    const latest = values.at(-1) ?? null;
    if (figure.dataset.hovered !== "true") now.textContent = latest === null ? "–" : format(latest);
    figure.dataset.empty = String(known.length === 0);
    picture.ariaLabel =
      known.length === 0
        ? `${title}, last ${duration(this.#range)}: not known`
        : `${title}, last ${duration(this.#range)}: now ${latest === null ? "not known" : format(latest)}, highest ${format(Math.max(...known))}`;
  }

  #make(parent, chart) {
    const now = element("span", "chart-now", "–");
    const when = element("span", "chart-when");
    const picture = element("div", "chart");
    picture.role = "img";
    const figure = element(
      "figure",
      "card",
      element("figcaption", "", element("span", "", chart.title), when, now),
      picture,
    );
    parent.append(figure);
    const made = { ...chart, figure, now, picture, values: [] };
    made.plot = new uPlot(this.#options(made, when), [[], []], picture);
    new ResizeObserver(() => made.plot.setSize(sizeOf(picture))).observe(picture);
    return made;
  }

  #options(chart, when) {
    const { format, incrs, top } = chart;
    const axis = {
      stroke: () => colour("--soft"),
      grid: { stroke: () => colour("--line"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
    };
    return {
      ...sizeOf(chart.picture),
      padding: [8, 26, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: "history" }, points: { size: 7 } },
      scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max(top, max ?? 0) * 1.15] } },
      axes: [
        {
          ...axis,
          size: 28,
          incrs: TIMES,
          space: 70,
          values: (_, times, __, ___, step) => times.map((time) => (step < 60 ? exactly : clock).format(time * 1000)),
        },
        {
          ...axis,
          ...(incrs === undefined ? {} : { incrs }),
          size: 68,
          space: 34,
          values: (_, values) => values.map(format),
        },
      ],
      series: [
        {},
        {
          stroke: () => colour("--accent"),
          fill: () => colour("--area"),
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        },
      ],
      hooks: {
        draw: chart.limits === true ? [(plot) => this.#drawLimits(plot)] : [],
        setCursor: [
          ({ cursor: { idx }, data }) => {
            const value = idx == null ? null : data[1][idx];
            const hovered = idx != null && value != null;
            chart.figure.dataset.hovered = String(hovered);
            when.textContent = hovered ? exactly.format(data[0][idx] * 1000) : "";
            const shown = hovered ? value : (chart.values.at(-1) ?? null);
            chart.now.textContent = shown === null ? "–" : format(shown);
          },
        ],
      },
    };
  }

  /** Those that the curve comes near to. */
  #drawLimits(plot) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    for (const [name, limit] of this.#limits) {
      if (limit > plot.scales.y.max) continue;
      const y = Math.round(plot.valToPos(limit, "y", true));
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colour(name === "warning" ? "--warn" : "--bad");
      ctx.lineWidth = ratio;
      ctx.setLineDash([4 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.font = `${11 * ratio}px system-ui, sans-serif`;
      ctx.textBaseline = "bottom";
      ctx.fillText(name, bbox.left + 4 * ratio, y - 2 * ratio);
      ctx.restore();
    }
  }
}

function sizeOf({ clientWidth }) {
  return { width: Math.max(200, clientWidth), height: 170 };
}
