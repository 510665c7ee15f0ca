/** Seeds in rows, checkpoints in columns: the same noise, walked by each. */
import { read } from "../base/api.js";
import { duration, number } from "../base/format.js";
import { Fragment, html, useEffect, useState } from "../base/html.js";
import { useLoaded } from "../base/loading.js";
import { Picture, zoom } from "../parts/picture.js";
import { Scroll } from "../parts/scroll.js";
import { figuresOf } from "./columns.js";
import { useSampled } from "./sampled.js";

const FIGURES = [
  ["frechet_distance", "Fréchet distance"],
  ["precision", "Precision"],
  ["recall", "Recall"],
];

/** @param {{groups: {family: string, columns: any[]}[], seed: number, n: number}} props */
export function Table({ groups, seed, n }) {
  const columns = groups.flatMap(({ columns: some }) => some.map((column, index) => ({ column, first: index === 0 })));
  const [states, setStates] = useState({});
  const note = (key, state) => setStates((before) => ({ ...before, [key]: state }));
  const cards = useCards(columns.map(({ column }) => column));
  const tile = innerWidth < 640 ? 48 : columns.length > 7 ? 64 : columns.length > 5 ? 80 : 112;
  const cells = (show) =>
    columns.map(({ column, first }) => {
      const content = show(column, states[column.key]);
      return html`<td key=${column.key} class=${first ? "first" : null}>${content}</td>`;
    });
  return html`
    ${columns.map(({ column }) => html`<${Sampling} key=${column.key} column=${column} seed=${seed} n=${n} note=${note} />`)}
    <${Scroll} label="Comparison">
      <table class="compare">
        <thead>
          <tr>
            <td></td>
            ${groups.map(
              ({ family, columns: some }) =>
                html`<th key=${family} class="family first" colspan=${some.length} scope="colgroup">${family}</th>`,
            )}
          </tr>
          <tr>
            <td></td>
            ${columns.map(
              ({ column, first }) => html`
                <th key=${column.key} class=${first ? "first" : null} scope="col">
                  <${Head} column=${column} state=${states[column.key]} />
                </th>
              `,
            )}
          </tr>
        </thead>
        <tbody>
          ${Array.from(
            { length: n },
            (_, row) => html`
              <tr key=${row}>
                <th scope="row"><span class="unseen">Seed </span>${seed + row}</th>
                ${cells(
                  (column, state) =>
                    html`<${Cell} column=${column} state=${state} seed=${seed + row} row=${row} tile=${tile} />`,
                )}
              </tr>
            `,
          )}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">Time</th>
            ${cells((_, state) => duration(state?.result?.timings.sample))}
          </tr>
          <tr>
            <th scope="row">Method</th>
            ${cells((column) => cards[column.card]?.method)}
          </tr>
          ${FIGURES.map(
            ([key, label]) => html`
              <tr key=${key}>
                <th scope="row">${label}</th>
                ${cells((column) => number(figuresOf(cards[column.card], column.steps)?.[key]))}
              </tr>
            `,
          )}
        </tfoot>
      </table>
    <//>
  `;
}

/** Asks for a column, and shows nothing itself. */
function Sampling({ column, seed, n, note }) {
  const state = useSampled(column, { seed, n });
  useEffect(() => note(column.key, state), [state]);
  return html`<${Fragment} />`;
}

function Head({ column, state }) {
  const steps = `${column.steps} ${column.steps === 1 ? "step" : "steps"}`;
  return html`
    ${column.isTeacher ? html`Teacher<br />${steps}` : steps}
    ${state?.error && html`<div class="fault small" role="alert">${state.error.message}</div>`}
    ${
      state &&
      !state.result &&
      !state.error &&
      column.isTeacher &&
      html`
        <span
          class="meter"
          role="progressbar"
          aria-label="Teacher sampled"
          aria-valuemin="0"
          aria-valuemax="100"
          aria-valuenow=${Math.round(100 * state.progress)}
        >
          <span style=${{ width: `${100 * state.progress}%` }}></span>
        </span>
      `
    }
  `;
}

function Cell({ column, state, seed, row, tile }) {
  const image = state?.result?.images[row];
  if (image && image.seed === seed) {
    return html`<${Picture}
      data=${image.data}
      shape=${column.shape}
      target=${tile}
      alt="Seed ${seed}, ${column.family}, ${column.steps} steps"
    />`;
  }
  const times = zoom(column.shape, tile);
  return html`<div
    class="blank"
    style=${{ width: `${column.shape[2] * times}px`, height: `${column.shape[1] * times}px` }}
  ></div>`;
}

/** The card of each column by its path. */
function useCards(columns) {
  const paths = [...new Set(columns.map(({ card }) => card))].sort();
  const { value } = useLoaded(
    async (signal) =>
      Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await read(path, { signal })]))),
    [paths.join(" ")],
  );
  return value ?? {};
}
