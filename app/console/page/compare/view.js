/** Compare: the same seeds in few steps and in many, of one family or two. */
import { useQuery } from "../base/address.js";
import { read } from "../base/api.js";
import { html } from "../base/html.js";
import { useLoaded } from "../base/loading.js";
import { readModels } from "../base/pages.js";
import { NumberField, SelectField } from "../parts/field.js";
import { Notice } from "../parts/notice.js";
import { SeedField } from "../parts/seed.js";
import { columnsOf, teacherSteps } from "./columns.js";
import { Table } from "./table.js";

const FIRST = { n: 6, seed: 7, teacher: 64 };
const MOST_ROWS = 32;

export default function Compare() {
  const { value, error } = useLoaded(async (signal) => {
    const [models, { limits }] = await Promise.all([readModels(signal), read("system", { signal })]);
    return { models, most: limits.checkpoint_steps };
  }, []);
  return html`
    <div class="title">
      <h1>Compare</h1>
      <p>The same noise in every row, walked in few steps and in many</p>
    </div>
    <${Notice} error=${error} />
    ${value?.models.length > 0 && html`<${Loaded} ...${value} />`}
    ${value?.models.length === 0 && html`<p class="empty">There is no model to compare yet.</p>`}
  `;
}

function Loaded({ models, most }) {
  const { query, change } = useQuery();
  const one = models.find(({ name }) => name === query.family) ?? models.find((model) => model.default) ?? models[0];
  const other = models.find(({ name }) => name === query.with && name !== one.name);
  const seed = number(query.seed, FIRST.seed, 0, 2 ** 32 - 1);
  const n = number(query.n, FIRST.n, 1, MOST_ROWS);
  const choices = [...new Set([one, ...(other ? [other] : [])].flatMap((family) => teacherSteps(family, most)))].sort(
    (a, b) => a - b,
  );
  const teacher =
    query.teacher === "0"
      ? 0
      : choices.includes(Number(query.teacher))
        ? Number(query.teacher)
        : (choices.find((steps) => steps === FIRST.teacher) ?? choices[0] ?? 0);
  const groups = [one, ...(other ? [other] : [])].map((family) => ({
    family: family.name,
    columns: columnsOf(family, teacherSteps(family, most).includes(teacher) ? teacher : 0),
  }));
  const names = models.map(({ name }) => [name, name]);
  return html`
    <div class="generate">
      <aside class="panel">
        <div class="stack controls">
          <${SelectField}
            label="Family"
            value=${one.name}
            options=${names}
            onValue=${(name) => change({ family: name })}
          />
          <${SelectField}
            label="Beside it"
            value=${other?.name ?? ""}
            options=${[["", "Nothing"], ...names.filter(([name]) => name !== one.name)]}
            onValue=${(name) => change({ with: name })}
          />
          <${SelectField}
            label="Teacher"
            hint="Sampled on the bulk lane, after all that is interactive"
            value=${String(teacher)}
            options=${[["0", "Without"], ...choices.map((steps) => [String(steps), `In ${steps} steps`])]}
            onValue=${(steps) => change({ teacher: steps })}
          />
          <${NumberField}
            label="Rows"
            value=${n}
            min=${1}
            max=${MOST_ROWS}
            onValue=${(rows) => rows && change({ n: rows })}
          />
          <${SeedField} value=${seed} room=${n} onValue=${(next) => change({ seed: next })} />
        </div>
      </aside>
      <div class="panel stack">
        <${Table} groups=${groups} seed=${Math.min(seed, 2 ** 32 - n)} n=${n} />
        <p class="quiet small">
          Time is that of sampling a column, in batches shared with whoever else asks. Figures are those of each card,
          and – where none was measured in so many steps.
        </p>
      </div>
    </div>
  `;
}

function number(text, otherwise, least, most) {
  const value = /^\d{1,15}$/.test(text ?? "") ? Number(text) : otherwise;
  return Math.min(Math.max(value, least), most);
}
