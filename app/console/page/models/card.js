/** A card as one reads it: how the checkpoint was made, what it expects, how good it is. */
import { link } from "../base/address.js";
import { address, ask } from "../base/api.js";
import { number, shape, whole } from "../base/format.js";
import { html } from "../base/html.js";
import { key } from "../base/key.js";
import { save } from "../parts/fetched.js";
import { Scroll } from "../parts/scroll.js";

const FIGURES = [
  ["frechet_distance", "Fréchet distance"],
  ["inception_score", "Inception score"],
  ["precision", "Precision"],
  ["recall", "Recall"],
];

/** A link, unless a key must go with the request, which then takes the memory of what it brings. */
function Download({ path, name }) {
  if (!key()) return html`<a class="button" href=${address(path)} download>Download</a>`;
  return html`<button type="button" onClick=${async () => save(await ask(path, { accept: "*/*" }), name)}>Download</button>`;
}

/** @param {{family: any, name: string, card: any}} props */
export function Card({ family, name, card }) {
  const options = Object.entries(card.hyper_parameters).filter(
    ([key, value]) => value !== null && typeof value !== "object" && !key.endsWith("sha256"),
  );
  const evaluations = latest(card.metrics.evaluations ?? []);
  const serves = Object.entries(family.steps).find(([, served]) => served === name)?.[0];
  const path = family.checkpoints[name].card;
  return html`
    <article class="panel stack">
      <div class="row between">
        <h2>${family.name}/${name}</h2>
        <div class="row">
          ${serves && html`<a class="button" href=${link(["generate"], { family: family.name, steps: serves })}>Sample it</a>`}
          ${card.num_steps > 1 && html`<a class="button" href=${link(["jobs", "new"], { teacher: `${family.name}/${name}` })}>Distil it</a>`}
          <${Download} path=${`${path}/download`} name=${`${family.name}-${name}.zip`} />
        </div>
      </div>
      <div class="job">
        <dl class="facts">
          <dt>Steps</dt>
          <dd>${whole(card.num_steps)}</dd>
          <dt>Images</dt>
          <dd>${shape(card.image_shape)}</dd>
          <dt>Classes</dt>
          <dd>
            ${card.num_classes ? `${card.num_classes}${card.class_names ? `: ${card.class_names.join(", ")}` : ""}` : "none"}
          </dd>
          <dt>Weights</dt>
          <dd>${whole(card.parameters)}</dd>
          <dt>Method</dt>
          <dd>${card.method}</dd>
          <dt>Made from</dt>
          <dd>${card.parent ?? "noise"}</dd>
          <dt>Data</dt>
          <dd>${card.data ?? "not said"}</dd>
          <dt>Predicts</dt>
          <dd>${card.prediction_type}</dd>
          <dt>Schedule</dt>
          <dd>
            ${card.schedule.beta_schedule}, ${whole(card.schedule.num_rows)} rows, of which it walks ${whole(card.rows.length)}
          </dd>
          <dt>Weights' SHA-256</dt>
          <dd><code>${card.sha256}</code></dd>
        </dl>
        ${
          options.length > 0 &&
          html`<dl class="facts small">
            ${options.map(
              ([key, value]) =>
                html`<dt>${key.replaceAll("_", " ")}</dt>
                  <dd>${String(value)}</dd>`,
            )}
          </dl>`
        }
      </div>
      ${
        evaluations.length > 0 &&
        html`
          <${Scroll} label="Figures">
            <table>
              <thead>
                <tr>
                  <th>Sampled in</th>
                  ${FIGURES.map(([, label]) => html`<th class="number">${label}</th>`)}
                  <th class="number">Samples</th>
                  <th>Judged by</th>
                </tr>
              </thead>
              <tbody>
                ${evaluations.map(
                  (one) => html`
                    <tr key=${one.num_steps}>
                      <td>${one.num_steps} ${one.num_steps === 1 ? "step" : "steps"}</td>
                      ${FIGURES.map(([key]) => html`<td class="number">${number(one[key])}</td>`)}
                      <td class="number">${whole(one.samples)}</td>
                      <td>${one.extractor} on ${one.data}</td>
                    </tr>
                  `,
                )}
              </tbody>
            </table>
          <//>
        `
      }
      ${
        card.command &&
        html`<details>
          <summary>How to make it again, and to call it by diffusers</summary>
          <div class="stack">
            <pre tabindex="0">${card.command}</pre>
            ${card.diffusers_call && html`<pre tabindex="0">${card.diffusers_call}</pre>`}
          </div>
        </details>`
      }
    </article>
  `;
}

/** The last measurement at each number of steps, most steps first. */
export function latest(evaluations) {
  const by = new Map(evaluations.map((one) => [one.num_steps, one]));
  return [...by.values()].sort((a, b) => b.num_steps - a.num_steps);
}
