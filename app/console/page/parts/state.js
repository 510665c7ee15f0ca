/** The state of a job, and how far it is. */
import { html } from "../base/html.js";

export function State({ state }) {
  return html`<span class="state ${state}">${state}</span>`;
}

/** Iterations done of all, over all rounds, 0 to 1. */
export function shareOf(job) {
  if (job.state === "succeeded") return 1;
  const weights = job.steps.map((steps) => (steps <= 2 ? 2 : 1));
  const done = weights.slice(0, job.round - 1).reduce((sum, one) => sum + one, 0);
  const all = weights.reduce((sum, one) => sum + one, 0);
  return (done + weights[job.round - 1] * (job.iteration / job.iterations)) / all;
}

export function Progress({ job }) {
  const percent = Math.round(100 * shareOf(job));
  return html`
    <span
      class="meter"
      role="progressbar"
      aria-label="Progress of ${job.name}"
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${percent}
    >
      <span style=${{ width: `${percent}%` }}></span>
    </span>
  `;
}
