/** Where the time of a request went, as a bar. */
import { duration } from "../base/format.js";
import { html } from "../base/html.js";

const PARTS = [
  ["queue", "Waiting"],
  ["sample", "Sampling"],
  ["encode", "Encoding"],
  ["way", "On the way"],
];

/** @param {{timings: Record<string, number>, elapsed: number}} props Both in seconds; the rest of `elapsed` is the way. */
export function Timings({ timings, elapsed }) {
  const inside = timings.queue + timings.sample + timings.encode;
  const seconds = { ...timings, way: Math.max(elapsed - inside, 0) };
  const whole = inside + seconds.way || 1;
  const words = PARTS.map(([key, label]) => `${label} ${duration(seconds[key])}`).join(", ");
  return html`
    <div>
      <div class="bar" role="img" aria-label=${words}>
        ${PARTS.map(([key]) => html`<span key=${key} class="tone-${key}" style=${{ width: `${(100 * seconds[key]) / whole}%` }}></span>`)}
      </div>
      <ul class="legend" aria-hidden="true">
        ${PARTS.map(([key, label]) => html`<li key=${key}><i class="tone-${key}"></i>${label} ${duration(seconds[key])}</li>`)}
        <li>${duration(whole)} in all</li>
      </ul>
    </div>
  `;
}
