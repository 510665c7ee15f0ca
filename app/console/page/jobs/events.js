/** What happened to a job, in words, the latest first. */
import { number, plural, whole } from "../base/format.js";
import { html } from "../base/html.js";

const WORDS = {
  state: ({ state }) => `The job is ${state}.`,
  lost: ({ detail, reason, worker }) =>
    `Its worker is gone${reasonOf({ detail, reason, worker })}. It goes on from its last saved state.`,
  waiting: ({ detail }) => `It waits for the artifact store: ${detail}`,
  saved: ({ round, iteration }) => `Round ${round} is saved at iteration ${whole(iteration)}.`,
  round: ({ round, steps, metrics }) =>
    `Round ${round} is done: a student of ${plural(steps, "step")}${metrics ? `, ${distance(metrics)}` : ""}.`,
};

export function Events({ told }) {
  if (!told.length) return html`<p class="quiet">Nothing yet.</p>`;
  return html`
    <div class="events" tabindex="0" role="log" aria-label="Events">
      <ol reversed>
        ${[...told]
          .reverse()
          .map(
            ({ id, kind, data }) => html`
              <li key=${id}><time>${clock(id)}</time><span>${(WORDS[kind] ?? other)(data, kind)}</span></li>
            `,
          )}
      </ol>
    </div>
  `;
}

/** The id of an event begins with its time in milliseconds. */
function clock(id) {
  return new Date(Number(id.split("-")[0])).toLocaleTimeString("en-GB");
}

function other(data, kind) {
  return `${kind}: ${JSON.stringify(data)}`;
}

function reasonOf({ detail, reason, worker }) {
  const words = detail ?? reason ?? worker;
  return words ? `: ${words}` : "";
}

function distance(metrics) {
  return `Fréchet distance ${number(metrics.frechet_distance)}`;
}
