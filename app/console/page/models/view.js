/** Models: where checkpoints come from, their cards and figures, and what was promoted. */
import { usePlace } from "../base/address.js";
import { ask, read } from "../base/api.js";
import { number, time } from "../base/format.js";
import { html, useState } from "../base/html.js";
import { useLoaded } from "../base/loading.js";
import { readModels } from "../base/pages.js";
import { Notice } from "../parts/notice.js";
import { Scroll } from "../parts/scroll.js";
import { Card } from "./card.js";
import { Figures } from "./figures.js";
import { Lineage } from "./lineage.js";

const LOOK_MS = 10_000;

export default function Models() {
  const { path } = usePlace();
  const { value: models, error, again } = useLoaded(readModels, [], LOOK_MS);
  if (!models)
    return html`<div class="title"><h1>Models</h1></div>
      <${Notice} error=${error} />${!error && html`<p class="quiet">Loading…</p>`}`;
  const family = models.find(({ name }) => name === path[1]) ?? models.find((one) => one.default) ?? models[0];
  const name =
    family && (path[2] in family.checkpoints ? path[2] : (family.steps[1] ?? Object.keys(family.checkpoints)[0]));
  return html`
    <div class="title">
      <h1>Models</h1>
      <p>From each teacher to the students that were made of it</p>
    </div>
    <${Notice} error=${error} />
    ${!family && html`<p class="empty">There is no model yet. Put a family into the folder of checkpoints.</p>`}
    ${
      family &&
      html`
        <div class="stack">
          <section class="panel"><${Lineage} models=${models} selected="${family.name}/${name}" /></section>
          <${Family} key=${family.name} family=${family} name=${name} onChange=${again} />
        </div>
      `
    }
  `;
}

function Family({ family, name, onChange }) {
  const names = Object.keys(family.checkpoints);
  const { value: cards, error } = useLoaded(
    async (signal) =>
      Object.fromEntries(
        await Promise.all(names.map(async (one) => [one, await read(family.checkpoints[one].card, { signal })])),
      ),
    [names.join("\n")],
  );
  return html`
    <${Notice} error=${error} />
    ${cards?.[name] && html`<${Card} family=${family} name=${name} card=${cards[name]} />`}
    <${Promotions} family=${family} onChange=${onChange} />
    ${cards && html`<${Figures} family=${family} cards=${cards} />`}
  `;
}

function Promotions({ family, onChange }) {
  const [error, setError] = useState(null);
  const all = Object.entries(family.promotions);
  if (!all.length) return null;
  const rollBack = async (steps) => {
    try {
      await ask(`models/${encodeURIComponent(family.name)}/${steps}/rollback`, { method: "POST" });
      setError(null);
      onChange();
    } catch (failed) {
      setError(failed);
    }
  };
  return html`
    <section class="panel stack">
      <h2>Promotions in ${family.name}</h2>
      <${Notice} error=${error} />
      <${Scroll} label="Promotions">
        <table>
          <thead>
            <tr>
              <th>Steps</th>
              <th>Serves</th>
              <th class="number">Fréchet distance</th>
              <th>In place of</th>
              <th class="number">That had</th>
              <th>Since</th>
              <th><span class="unseen">Undo</span></th>
            </tr>
          </thead>
          <tbody>
            ${all.map(([steps, list]) => {
              const last = list.at(-1);
              return html`<tr key=${steps}>
                <td>${steps}</td>
                <td class="wrap">${last.family}/${last.checkpoint}</td>
                <td class="number">${number(last.frechet_distance)}</td>
                <td class="wrap">${last.replaced ?? "nothing"}</td>
                <td class="number">${number(last.replaced_frechet_distance)}</td>
                <td class="nowrap">${time(last.at)}</td>
                <td><button type="button" onClick=${() => rollBack(steps)}>Roll back</button></td>
              </tr>`;
            })}
          </tbody>
        </table>
      <//>
    </section>
  `;
}
