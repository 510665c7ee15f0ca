/** What each finished round made, beside what serves in its place, and the way back from a promotion. */
import { link } from "../base/address.js";
import { ask } from "../base/api.js";
import { number, time } from "../base/format.js";
import { html, useState } from "../base/html.js";
import { useLoaded } from "../base/loading.js";
import { readModels } from "../base/pages.js";
import { useFetched } from "../parts/fetched.js";
import { Notice } from "../parts/notice.js";

const WIDEST = 232;

export function Rounds({ job }) {
  const [error, setError] = useState(null);
  const { value: models, again } = useLoaded(readModels, [job.state]);
  const inForce = (models ?? []).flatMap((family) =>
    Object.entries(family.promotions)
      .map(([steps, list]) => ({ ...list.at(-1), family: family.name, steps: Number(steps) }))
      .filter((one) => one.job === job.id),
  );
  const rollBack = async ({ family, steps }) => {
    try {
      await ask(`models/${encodeURIComponent(family)}/${steps}/rollback`, { method: "POST" });
      setError(null);
      again();
    } catch (failed) {
      setError(failed);
    }
  };
  if (!job.finished.length) return null;
  return html`
    <section class="stack" aria-label="Students">
      <h2>Students</h2>
      <${Notice} error=${error} />
      <div class="rounds">
        ${job.finished.map(
          (round) =>
            html`<${Round}
              key=${round.k}
              job=${job}
              round=${round}
              promotion=${inForce.find(({ steps }) => steps === round.steps)}
              onRollBack=${rollBack}
            />`,
        )}
      </div>
    </section>
  `;
}

function Round({ job, round, promotion, onRollBack }) {
  const { metrics } = round;
  return html`
    <article class="panel stack">
      <h3>${round.steps === 1 ? "1 step" : `${round.steps} steps`}</h3>
      <${Samples} path=${round.samples} steps=${round.steps} />
      <dl class="facts small">
        <dt>Fréchet distance</dt>
        <dd>${metrics ? number(metrics.frechet_distance) : "not judged"}</dd>
        ${
          round.rival &&
          html`<dt>${round.rival} has</dt>
            <dd>${number(round.rival_frechet_distance)}</dd>`
        }
        ${
          metrics &&
          html`<dt>Precision</dt>
            <dd>${number(metrics.precision)}</dd>
            <dt>Recall</dt>
            <dd>${number(metrics.recall)}</dd>`
        }
      </dl>
      ${
        promotion &&
        html`
          <p class="small">
            Serves ${promotion.steps === 1 ? "1 step" : `${promotion.steps} steps`} of ${promotion.family} since ${time(promotion.at)}${promotion.replaced ? `, in place of ${promotion.replaced}` : ""}.
          </p>
          <p><button type="button" onClick=${() => onRollBack(promotion)}>Roll back</button></p>
        `
      }
      ${job.state === "succeeded" && html`<p class="small"><a href=${link(["generate"], { family: job.name, steps: round.steps })}>Sample it</a></p>`}
    </article>
  `;
}

/** The picture of samples at a whole number of times its size. */
function Samples({ path, steps }) {
  const url = useFetched(path);
  const [size, setSize] = useState({});
  const fit = ({ target }) => {
    const times = Math.max(1, Math.floor(WIDEST / target.naturalWidth));
    setSize({ width: times * target.naturalWidth, height: times * target.naturalHeight });
  };
  return url && html`<img
    class="pixels"
    ...${size}
    src=${url}
    alt="Samples of the student of ${steps} steps"
    onLoad=${fit}
  />`;
}
