/** Generate: pictures that change as the controls do. */
import { read } from "../base/api.js";
import { useQuery } from "../base/address.js";
import { plural } from "../base/format.js";
import { html, useState } from "../base/html.js";
import { useLoaded } from "../base/loading.js";
import { readModels } from "../base/pages.js";
import { Downloads } from "../parts/download.js";
import { Notice } from "../parts/notice.js";
import { Picture } from "../parts/picture.js";
import { Timings } from "../parts/timings.js";
import { Controls } from "./controls.js";
import { Large } from "./large.js";
import { bodyOf, useImages } from "./request.js";
import { Snippets } from "./snippets.js";

const TILE = { few: 160, some: 96, many: 64 };

export default function Generate() {
  const { value, error } = useLoaded(async (signal) => {
    const [models, { limits }] = await Promise.all([readModels(signal), read("system", { signal })]);
    return { models, most: limits.images };
  }, []);
  if (!value)
    return html`<h1 class="unseen">Generate</h1>
      <${Notice} error=${error} />${!error && html`<p class="quiet">Loading…</p>`}`;
  if (!value.models.length)
    return html`<h1>Generate</h1>
      <p class="empty">There is no model yet. Put a family into the folder of checkpoints.</p>`;
  return html`<${Loaded} ...${value} />`;
}

function Loaded({ models, most }) {
  const { query, change } = useQuery();
  const asked = bodyOf(query, models, most);
  const { result, error, waiting } = useImages(asked.body);
  const [open, setOpen] = useState(null);
  const shape = models.find((one) => one.name === result?.model)?.image_shape ?? asked.family.image_shape;
  const tile = result && (result.n <= 4 ? TILE.few : result.n <= 36 ? TILE.some : TILE.many);
  const target = Math.min(tile, (innerWidth - 70) / 3);
  return html`
    <h1 class="unseen">Generate</h1>
    <div class="generate">
      <aside class="panel"><${Controls} models=${models} asked=${asked} most=${most} change=${change} /></aside>
      <div class="stack">
        <${Notice} error=${error} />
        <div class="panel stack">
          <div class="row between">
            <h2>${result ? `${plural(result.n, "picture")} in ${plural(result.steps, "step")}` : "Sampling…"}</h2>
            <p class="quiet small" aria-live="polite">
              ${result && `${result.model}/${result.checkpoint}, ${result.precision}`}
            </p>
          </div>
          <div class="gallery ${error ? "old" : ""}" aria-busy=${waiting ? "true" : "false"}>
            ${result?.images.map(
              (image, index) => html`
                <button
                  key=${index}
                  type="button"
                  aria-label="Seed ${image.seed}: open large"
                  onClick=${() => setOpen(index)}
                >
                  <${Picture} data=${image.data} format=${result.format} shape=${shape} target=${target} alt="" />
                </button>
              `,
            )}
          </div>
          ${result && html`<${Timings} timings=${result.timings} elapsed=${result.elapsed} />`}
        </div>
        <div class="panel stack">
          <${Downloads} body=${asked.body} />
          <${Snippets} body=${asked.body} />
        </div>
      </div>
    </div>
    ${open !== null && result && html`<${Large} result=${result} shape=${shape} index=${open} onIndex=${setOpen} />`}
  `;
}
