/** Figures of a family over steps: its students, and its teacher in fewer steps than it was trained for. */
import { html, useMemo, useState } from "../base/html.js";
import { SelectField } from "../parts/field.js";
import { Plot } from "../parts/plot.js";
import { latest } from "./card.js";

const FIGURES = [
  ["frechet_distance", "Fréchet distance"],
  ["inception_score", "Inception score"],
  ["precision", "Precision"],
  ["recall", "Recall"],
];

/** @param {{family: any, cards: Record<string, any>}} props `cards`: by name. */
export function Figures({ family, cards }) {
  const [figure, setFigure] = useState(FIGURES[0][0]);
  const { data, series } = useMemo(() => dataOf(family, cards, figure), [family, cards, figure]);
  if (!data[0].length) return null;
  const label = FIGURES.find(([key]) => key === figure)[1];
  return html`
    <section class="panel stack">
      <div class="row between">
        <h2>${label} over steps</h2>
        <div><${SelectField} label="Figure" value=${figure} options=${FIGURES} onValue=${setFigure} /></div>
      </div>
      <${Plot}
        label="${label} of ${family.name} over steps"
        x="Steps"
        series=${series}
        data=${data}
        logX=${true}
        logY=${figure === "frechet_distance"}
        dots=${true}
      />
    </section>
  `;
}

function dataOf(family, cards, figure) {
  const measured = Object.entries(cards).flatMap(([name, card]) =>
    latest(card.metrics.evaluations ?? []).map((one) => ({
      own: one.num_steps === card.num_steps,
      serves: family.steps[one.num_steps] === name,
      steps: one.num_steps,
      value: one[figure] ?? null,
    })),
  );
  const x = [...new Set(measured.map(({ steps }) => steps))].sort((a, b) => a - b);
  const pick = (which) => x.map((steps) => measured.filter((one) => one.steps === steps).find(which)?.value ?? null);
  const lines = {
    Students: pick(({ own, serves }) => own && serves),
    "The teacher in fewer steps": pick(({ own }) => !own),
  };
  const there = Object.entries(lines).filter(([, values]) => values.some((value) => value !== null));
  return { series: there.map(([name]) => name), data: [there.length ? x : [], ...there.map(([, values]) => values)] };
}
