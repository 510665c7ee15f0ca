/** What may be asked for: family, steps, number, seed, class. */
import { read } from "../base/api.js";
import { html } from "../base/html.js";
import { useLoaded } from "../base/loading.js";
import { Choices, Field, SelectField } from "../parts/field.js";
import { SeedField } from "../parts/seed.js";

const COMFORTABLE = 64;

/** @param {{models: any[], asked: any, most: number, change: (values: object) => void}} props */
export function Controls({ models, asked, most, change }) {
  const { family, classes, steps, body } = asked;
  const names = useClassNames(classes > 0 ? family.checkpoints[family.steps[body.steps]].card : null);
  const classOptions = [
    ["", "Each seed its own"],
    ...Array.from({ length: classes }, (_, label) => [String(label), names?.[label] ?? String(label)]),
  ];
  return html`
    <div class="stack controls">
      <${SelectField}
        label="Family"
        value=${family.name}
        options=${models.map((one) => [one.name, one.name])}
        onValue=${(name) => change({ family: name })}
      />
      <${Choices}
        label="Steps"
        value=${String(body.steps)}
        options=${steps.map((one) => [String(one), String(one)])}
        onValue=${(value) => change({ steps: value })}
      />
      <${Field} label="Pictures">
        ${(more) => html`
          <div class="slider">
            <input
              type="range"
              min="1"
              max=${Math.min(COMFORTABLE, most)}
              value=${body.n}
              ...${more}
              onInput=${(event) => change({ n: event.target.value })}
            />
            <output class="number">${body.n}</output>
          </div>
        `}
      <//>
      <${SeedField} value=${body.seed} room=${body.n} onValue=${(seed) => change({ seed })} />
      ${
        classes > 0 &&
        html`<${SelectField}
          label="Class"
          value=${String(body.class_label ?? "")}
          options=${classOptions}
          onValue=${(label) => change({ class: label })}
        />`
      }
    </div>
  `;
}

/** The names of a checkpoint's classes, once its card is read; `card` is null where there are none. */
function useClassNames(card) {
  const { value } = useLoaded(async (signal) => card && (await read(card, { signal })).class_names, [card]);
  return value;
}
