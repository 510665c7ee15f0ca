/** Which checkpoint was made from which: families in rows, steps in columns, promotions dashed. */
import { link } from "../base/address.js";
import { plural } from "../base/format.js";
import { html } from "../base/html.js";

const BOX = { width: 112, height: 34, gapX: 40, gapY: 18 };
const LEFT = 2;
const TOP = 24;
const LABEL = 22;
const LONGEST = 15;

/** @param {{models: any[], selected: string}} props */
export function Lineage({ models, selected }) {
  const columns = [
    ...new Set(models.flatMap((family) => Object.values(family.checkpoints).map((card) => card.num_steps))),
  ].sort((a, b) => b - a);
  const rows = layOut(models, columns);
  const nodes = rows.flatMap(({ nodes: some }) => some);
  const at = new Map(nodes.map((node) => [node.key, node]));
  const edges = nodes.filter((node) => at.has(node.parent)).map((node) => [at.get(node.parent), node]);
  const promotions = nodes.filter((node) => at.has(node.from)).map((node) => [at.get(node.from), node]);
  const last = rows.at(-1);
  const width = LEFT + columns.length * (BOX.width + BOX.gapX);
  return html`
    <div class="lineage" tabindex="0" role="region" aria-label="Lineage">
      <svg width=${width} height=${last.y + last.height + 6} role="group" aria-label="Families with their checkpoints">
        ${columns.map((steps, index) => {
          const x = LEFT + index * (BOX.width + BOX.gapX) + BOX.width / 2;
          return html`<text key=${steps} class="steps" x=${x} y="16" text-anchor="middle"
            >${plural(steps, "step")}</text
          >`;
        })}
        ${edges.map(([from, to]) => html`<path key=${`${from.key} ${to.key}`} d=${curve(from, to)} />`)}
        ${promotions.map(([from, to]) => html`<path key=${`${from.key} ${to.key} promoted`} class="promotion" d=${curve(from, to)} />`)}
        ${rows.map(({ name, y }) => html`<text key=${name} class="family" x=${LEFT} y=${y - 8}>${name}</text>`)}
        ${nodes.map((node) => html`<${Node} key=${node.key} node=${node} isSelected=${node.key === selected} />`)}
      </svg>
    </div>
  `;
}

function Node({ node, isSelected }) {
  const name = node.from ? `${node.from.split("/")[0]}: promoted` : node.name;
  return html`
    <a
      href=${link(["models", node.family, node.name])}
      class=${node.from ? "promoted" : null}
      aria-current=${isSelected ? "true" : null}
      aria-label="${node.family}/${node.name}"
    >
      <rect x=${node.x} y=${node.y} width=${BOX.width} height=${BOX.height} rx="6" />
      <text x=${node.x + BOX.width / 2} y=${node.y + BOX.height / 2 + 5} text-anchor="middle">${short(name)}</text>
      <title>${node.family}/${node.name}</title>
    </a>
  `;
}

/** A row for each family, as high as the most checkpoints that it has of one number of steps. */
function layOut(models, columns) {
  let y = TOP;
  return models.map((family) => {
    y += LABEL;
    const teacher = Object.keys(family.checkpoints)[0];
    const inForce = Object.fromEntries(
      Object.entries(family.promotions).map(([, list]) => [
        `${list.at(-1).checkpoint}.${list.at(-1).family}`,
        `${list.at(-1).family}/${list.at(-1).checkpoint}`,
      ]),
    );
    const taken = new Map();
    const nodes = Object.entries(family.checkpoints).map(([name, card]) => {
      const line = taken.get(card.num_steps) ?? 0;
      taken.set(card.num_steps, line + 1);
      const x = LEFT + columns.indexOf(card.num_steps) * (BOX.width + BOX.gapX);
      return {
        key: `${family.name}/${name}`,
        family: family.name,
        name,
        parent: name in inForce ? null : parentOf(card, `${family.name}/${teacher}`, models),
        from: inForce[name],
        x,
        y: y + line * (BOX.height + 8),
      };
    });
    const lines = Math.max(...taken.values());
    const row = { name: family.name, y, nodes, height: lines * (BOX.height + 8) - 8 };
    y += row.height + BOX.gapY;
    return row;
  });
}

/** The checkpoint that it was made from or, where that is not kept, the one of most steps in its family. */
function parentOf(card, teacher, models) {
  const isHere = models.some((family) =>
    Object.keys(family.checkpoints).some((name) => `${family.name}/${name}` === card.parent),
  );
  return card.parent === null || isHere ? card.parent : teacher;
}

function curve(from, to) {
  const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2];
  if (x2 <= x1) return `M${from.x + BOX.width / 2},${from.y + BOX.height} L${to.x + BOX.width / 2},${to.y}`;
  const middle = x2 - Math.min((x2 - x1) / 2, BOX.gapX / 2);
  return `M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}`;
}

function short(text) {
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
}
