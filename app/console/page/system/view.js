/** System: who works, what waits, and how fast answers come. */
import { read } from "../base/api.js";
import { duration, number, time, whole } from "../base/format.js";
import { html } from "../base/html.js";
import { useLoaded } from "../base/loading.js";
import { Notice } from "../parts/notice.js";
import { Scroll } from "../parts/scroll.js";
import { State } from "../parts/state.js";

const LOOK_MS = 2000;
const TITLES = { sampling: "Sampling", distillation: "Distillation", webhooks: "Webhooks" };

export default function System() {
  const { value, error } = useLoaded((signal) => read("system", { signal }), [], LOOK_MS);
  return html`
    <div class="title">
      <h1>System</h1>
      ${
        value &&
        html`
          <p class="row">
            ${value.links.grafana && html`<a href=${value.links.grafana} rel="noreferrer">Grafana</a>`}
            <a href=${value.links.metrics}>Metrics</a><a href=${value.links.docs}>API documentation</a
            ><span>Version ${value.version}</span>
          </p>
        `
      }
    </div>
    <${Notice} error=${error} />
    ${
      value &&
      html`<div class="stack">
        <${Lately} system=${value} />
        ${Object.entries(value.queues).map(([name, queue]) => html`<${Queue} key=${name} name=${name} queue=${queue} />`)}
      </div>`
    }
  `;
}

function Lately({ system }) {
  const { recent, jobs } = system;
  return html`
    <section class="panel stack" aria-label="Lately">
      <dl class="figures">
        <div>
          <dt>Images/s, last minute</dt>
          <dd>${number(recent.images_per_second)}</dd>
        </div>
        <div>
          <dt>Requests, five minutes</dt>
          <dd>${whole(recent.requests)}</dd>
        </div>
        <div>
          <dt>Median time</dt>
          <dd>${duration(recent.p50_s)}</dd>
        </div>
        <div>
          <dt>95 in 100 within</dt>
          <dd>${duration(recent.p95_s)}</dd>
        </div>
        <div>
          <dt>Requests that wait</dt>
          <dd>${whole(system.requests_queued)}</dd>
        </div>
      </dl>
      <p class="row">
        <a href="#/jobs">Jobs</a>
        ${Object.entries(jobs)
          .filter(([, count]) => count > 0)
          .map(([state, count]) => html`<span key=${state}><${State} state=${state} /> ${whole(count)}</span>`)}
        ${Object.values(jobs).every((count) => count === 0) && html`<span class="quiet">none</span>`}
      </p>
    </section>
  `;
}

function Queue({ name, queue }) {
  const oldest = queue.waiting > 0 ? `, the oldest for ${duration(queue.oldest_age_s)}` : "";
  return html`
    <section class="panel stack" aria-label="${TITLES[name] ?? name}">
      <div class="row between">
        <h2>${TITLES[name] ?? name}</h2>
        <p class="quiet">${whole(queue.waiting)} waiting${oldest}, ${whole(queue.in_hand)} in hand</p>
      </div>
      ${queue.workers.length === 0 && html`<p class="notice">No ${name} worker is there. What was accepted waits until one comes.</p>`}
      ${
        queue.workers.length > 0 &&
        html`
          <${Scroll} label=${`Workers of ${name}`}>
            <table>
              <thead>
                <tr>
                  <th>Worker</th>
                  <th>Host</th>
                  <th>Device</th>
                  <th>Kind</th>
                  <th>Loaded</th>
                  <th>Since</th>
                </tr>
              </thead>
              <tbody>
                ${queue.workers.map((worker) => html`<${Worker} key=${worker.name} worker=${worker} />`)}
              </tbody>
            </table>
          <//>
        `
      }
    </section>
  `;
}

function Worker({ worker: { name, host, device, processor, facts } }) {
  const loaded = Object.entries(facts.precisions ?? {});
  return html`
    <tr>
      <td class="wrap">${name}</td>
      <td>${host}</td>
      <td>${device}</td>
      <td>${processor ?? "–"}</td>
      <td class="small">
        ${loaded.map(([checkpoint, precision]) => html`<div key=${checkpoint}>${checkpoint} <span class="quiet">${precision}</span></div>`)}${!loaded.length && "–"}
        ${(facts.obstacles ?? []).map((words) => html`<div key=${words} class="quiet">Slower than it could be: ${words}</div>`)}
      </td>
      <td class="nowrap">${time(facts.started)}</td>
    </tr>
  `;
}
