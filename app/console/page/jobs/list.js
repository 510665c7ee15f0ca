/** All jobs with their progress, newest first. */
import { link } from "../base/address.js";
import { ago, duration, number } from "../base/format.js";
import { html, useState } from "../base/html.js";
import { useLoaded } from "../base/loading.js";
import { readPages } from "../base/pages.js";
import { Notice } from "../parts/notice.js";
import { Scroll } from "../parts/scroll.js";
import { Progress, State } from "../parts/state.js";

const LOOK_MS = 2500;
const PAGE = 20;

export function List() {
  const [pages, setPages] = useState(1);
  const { value, error } = useLoaded(
    (signal) => readPages(`distill-jobs?limit=${PAGE}`, "jobs", { signal, pages }),
    [pages],
    LOOK_MS,
  );
  return html`
    <div class="title">
      <h1>Jobs</h1>
      <a class="button main" href="#/jobs/new">New job</a>
    </div>
    <${Notice} error=${error} />
    ${!value && !error && html`<p class="quiet">Loading…</p>`}
    ${value?.found.length === 0 && html`<p class="empty">No job yet. A job distils a teacher into students of fewer steps, and serves them.</p>`}
    ${
      value?.found.length > 0 &&
      html`
        <${Scroll} label="Jobs" kind="panel">
          <table>
            <thead>
              <tr>
                <th>Name</th>
                <th>Teacher</th>
                <th>Students</th>
                <th>State</th>
                <th>Progress</th>
                <th class="number">Loss</th>
                <th class="number">Iterations/s</th>
                <th>Left</th>
                <th>Queued</th>
              </tr>
            </thead>
            <tbody>
              ${value.found.map((job) => html`<${Row} key=${job.id} job=${job} />`)}
            </tbody>
          </table>
        <//>
        ${value.more && html`<p class="row"><button type="button" onClick=${() => setPages(pages + 1)}>Older ones</button></p>`}
      `
    }
  `;
}

function Row({ job }) {
  return html`
    <tr>
      <td class="wrap"><a href=${link(["jobs", job.id])}>${job.name}</a></td>
      <td class="wrap">${job.teacher.family}/${job.teacher.checkpoint}</td>
      <td class="nowrap">${job.steps.join(", ")} steps</td>
      <td><${State} state=${job.state} /></td>
      <td><${Progress} job=${job} /><span class="quiet small nowrap">round ${job.round} of ${job.rounds}</span></td>
      <td class="number">${number(job.loss)}</td>
      <td class="number">${number(job.iterations_per_second)}</td>
      <td class="nowrap">${duration(job.eta_s)}</td>
      <td class="nowrap">${ago(job.created)}</td>
    </tr>
  `;
}
