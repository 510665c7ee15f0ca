/** One job: how it goes, what it made, and what can be done about it. */
import { link } from "../base/address.js";
import { ask } from "../base/api.js";
import { duration, number, time, whole } from "../base/format.js";
import { html, useMemo, useState } from "../base/html.js";
import { Confirm } from "../parts/confirm.js";
import { Notice } from "../parts/notice.js";
import { Plot } from "../parts/plot.js";
import { Progress, State } from "../parts/state.js";
import { Events } from "./events.js";
import { hasEnded, useJob } from "./live.js";
import { Rounds } from "./rounds.js";

const LOSS = ["Loss"];

export function Job({ id }) {
  const { job, error, told, points, reload } = useJob(id);
  const data = useMemo(() => [[...points.keys()], [...points.values()]], [points]);
  if (!job)
    return html`<div class="title"><h1>Job</h1></div>
      <${Notice} error=${error}
        ><p><a href="#/jobs">All jobs</a></p><//
      >${!error && html`<p class="quiet">Loading…</p>`}`;
  return html`
    <div class="title">
      <h1>${job.name} <${State} state=${job.state} /></h1>
      <${Actions} job=${job} onChange=${reload} />
    </div>
    <${Notice} error=${error} />
    ${job.error && html`<${Notice} error=${new Error(job.error.detail)} />`}
    <div class="stack">
      <section class="panel stack" aria-label="Progress">
        <${Progress} job=${job} />
        <dl class="figures">
          <div>
            <dt>Round</dt>
            <dd>${job.round} of ${job.rounds}</dd>
          </div>
          <div>
            <dt>Iteration</dt>
            <dd>${whole(job.iteration)} of ${whole(job.iterations)}</dd>
          </div>
          <div>
            <dt>Loss</dt>
            <dd>${number(job.loss)}</dd>
          </div>
          <div>
            <dt>Iterations/s</dt>
            <dd>${number(job.iterations_per_second)}</dd>
          </div>
          <div>
            <dt>Left</dt>
            <dd>${duration(job.eta_s)}</dd>
          </div>
        </dl>
        <${Curve} job=${job} data=${data} />
      </section>
      <${Rounds} job=${job} />
      <div class="job">
        <section class="panel stack">
          <h2>What happened</h2>
          <${Events} told=${told} />
        </section>
        <section class="panel stack">
          <h2>What was asked</h2>
          <${Asked} job=${job} />
        </section>
      </div>
    </div>
  `;
}

function Curve({ job, data }) {
  if (data[0].length < 2) {
    const words = hasEnded(job) ? "No loss was told of." : "The loss is drawn once there are two points of it.";
    return html`<p class="quiet">${words}</p>`;
  }
  const label = `Loss over ${data[0].at(-1)} iterations, now ${number(job.loss)}`;
  return html`<${Plot} label=${label} x="Iteration" series=${LOSS} data=${data} />`;
}

function Asked({ job }) {
  const { request } = job;
  const others = Object.entries(request).filter(
    ([name, value]) =>
      value !== null && !["teacher", "method", "name", "data", "classifier", "evaluate"].includes(name),
  );
  return html`
    <dl class="facts small">
      <dt>Teacher</dt>
      <dd>
        <a href=${link(["models", job.teacher.family, job.teacher.checkpoint])}
          >${job.teacher.family}/${job.teacher.checkpoint}</a
        >
      </dd>
      <dt>Method</dt>
      <dd>${request.method}</dd>
      <dt>Students</dt>
      <dd>${job.steps.join(", ")} steps</dd>
      <dt>Classifier</dt>
      <dd>${job.classifier?.name ?? "none"}</dd>
      <dt>Data</dt>
      <dd>${job.data ?? "none"}</dd>
      <dt>Judge</dt>
      <dd>${job.judge ? `${job.judge.classifier.name}, ${whole(job.judge.samples)} samples` : "none"}</dd>
      ${others.map(
        ([name, value]) =>
          html`<dt>${name.replaceAll("_", " ")}</dt>
            <dd>${String(value)}</dd>`,
      )}
      <dt>Queued</dt>
      <dd>${time(job.created)}</dd>
      <dt>Begun</dt>
      <dd>${time(job.started)}</dd>
      <dt>Ended</dt>
      <dd>${time(job.ended)}</dd>
      <dt>Tries</dt>
      <dd>${job.attempts}</dd>
    </dl>
  `;
}

function Actions({ job, onChange }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const act = async (path, method, then) => {
    setBusy(true);
    try {
      await ask(path, { method });
      setError(null);
      then();
    } catch (failed) {
      setError(failed);
    }
    setBusy(false);
  };
  const leave = () => {
    location.hash = link(["jobs"]);
  };
  return html`
    <div class="row">
      ${
        job.state === "succeeded" &&
        html`
          <a class="button main" href=${link(["generate"], { family: job.name, steps: job.steps.at(-1) })}>Sample it</a>
          <a class="button" href=${link(["compare"], { family: job.name, with: job.teacher.family })}>
            Compare with its teacher
          </a>
        `
      }
      ${
        job.links.cancel &&
        job.state !== "cancelling" &&
        html`<button type="button" disabled=${busy} onClick=${() => act(job.links.cancel, "POST", onChange)}>
          Cancel
        </button>`
      }
      ${
        job.links.retry &&
        html`<button
          type="button"
          class="main"
          disabled=${busy}
          onClick=${() => act(job.links.retry, "POST", onChange)}
        >
          Go on with it
        </button>`
      }
      ${
        hasEnded(job) &&
        html`<${Confirm}
          label="Delete"
          question="Delete it and what it made?"
          onConfirm=${() => act(job.links.self, "DELETE", leave)}
        />`
      }
    </div>
    <${Notice} error=${error} />
  `;
}
