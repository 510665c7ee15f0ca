/** A plot of lines in the page's colours, by uPlot, which comes when the first one is shown. */
import { number } from "../base/format.js";
import { html, useEffect, useRef, useState } from "../base/html.js";

const HEIGHT = 240;
const COLOURS = ["--accent", "--series-2", "--good"];
let library = null;

/**
 * @param {{label: string, x: string, series: string[], data: (number|null)[][], logX?: boolean, logY?: boolean, dots?: boolean}} props
 *   `data`: x first, then each series.
 */
export function Plot({ label, x, series, data, logX = false, logY = true, dots = false }) {
  const place = useRef(null);
  const plot = useRef(null);
  const [uPlot, setUPlot] = useState(null);
  const scheme = useScheme();
  useEffect(() => {
    let here = true;
    load().then((found) => here && setUPlot(() => found));
    return () => {
      here = false;
    };
  }, []);
  useEffect(() => {
    if (!uPlot) return undefined;
    const colours = getComputedStyle(document.documentElement);
    const colour = (name) => colours.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1 },
      font: "12px system-ui, sans-serif",
    };
    const powers = (_, splits) =>
      splits.some(isPower) ? splits.map((value) => (isPower(value) ? value : null)) : splits;
    const shown = (_, values) => values.map((value) => (value === null ? "" : number(value)));
    const made = new uPlot(
      {
        width: place.current.clientWidth,
        height: HEIGHT,
        scales: { x: { time: false, ...(logX && { distr: 3, log: 2 }) }, y: logY ? { distr: 3, log: 10 } : {} },
        axes: [
          { ...axis, values: shown },
          {
            ...axis,
            values: shown,
            size: 58,
            ...(logY && { grid: { ...axis.grid, filter: powers }, ticks: { ...axis.ticks, filter: powers } }),
          },
        ],
        series: [
          { label: x },
          ...series.map((name, index) => ({
            label: name,
            stroke: colour(COLOURS[index % COLOURS.length]),
            width: 1.5,
            spanGaps: true,
            points: { show: dots, size: 7 },
            value: (_, value) => number(value),
          })),
        ],
      },
      data,
      place.current,
    );
    plot.current = made;
    const fit = () => {
      const width = place.current?.clientWidth;
      if (plot.current === made && width && width !== made.width) made.setSize({ width, height: HEIGHT });
    };
    // In the next frame, since what is resized while sizes are told of would be told of again.
    const watch = new ResizeObserver(() => requestAnimationFrame(fit));
    watch.observe(place.current);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [uPlot, scheme, series.join("\n"), logX, logY]);
  useEffect(() => plot.current?.setData(data), [data]);
  return html`<div class="plot" role="img" aria-label=${label} ref=${place}></div>`;
}

function isPower(value) {
  return value > 0 && Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9;
}

function load() {
  library ??= (async () => {
    const sheet = Object.assign(document.createElement("link"), {
      rel: "stylesheet",
      href: new URL("../vendor/uplot.css", import.meta.url).href,
    });
    const there = new Promise((done) => Object.assign(sheet, { onload: done, onerror: done }));
    document.head.append(sheet);
    const [module] = await Promise.all([import("../vendor/uplot.js"), there]);
    return module.default;
  })();
  return library;
}

function useScheme() {
  const [scheme, setScheme] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const look = () => setScheme(query.matches);
    query.addEventListener("change", look);
    return () => query.removeEventListener("change", look);
  }, []);
  return scheme;
}
