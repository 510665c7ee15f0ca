/** From what is typed to the body of a job, by the fields that each method declares. */

export const EVALUATED = "samples";
const EXACT = ["integer", "number"];

/** Of a field's schema: its type, bounds, default and words; one that may be null is what it else is. */
export function described(name, schema) {
  const one = schema.anyOf?.find((option) => option.type !== "null") ?? schema;
  return {
    name,
    label: name.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase()),
    isNumber: EXACT.includes(one.type),
    isWhole: one.type === "integer",
    choices: one.enum ?? null,
    isSwitch: one.type === "boolean",
    min: one.minimum ?? one.exclusiveMinimum,
    max: one.maximum ?? one.exclusiveMaximum,
    otherwise: schema.default ?? null,
    words: (schema.description ?? "").replaceAll("`", ""),
  };
}

/** The body of `POST /distill-jobs`; what is empty has its default.
 * @param {Record<string, string>} typed @param {any} method @param {Record<string, any>} fields
 */
export function bodyOf(typed, method, fields) {
  const body = { teacher: typed.teacher, method: method.name };
  const schemas = { ...fields, ...method.options };
  for (const [name, schema] of Object.entries(schemas)) {
    const text = typed[name];
    if (name === "teacher" || name === "evaluate" || text === undefined || text === "") continue;
    if (name === "classifier" && !method.takes_classifier) continue;
    if (name === "data" && !method.needs_images) continue;
    const { isNumber, isSwitch } = described(name, schema);
    body[name] = isNumber ? Number(text) : isSwitch ? text === "true" : text;
  }
  if (typed[EVALUATED] === "0") body.evaluate = null;
  else if (typed[EVALUATED]) body.evaluate = { samples: Number(typed[EVALUATED]) };
  return body;
}

/** Checkpoints that can be distilled: `family/checkpoint`. */
export function teachersOf(models) {
  return models.flatMap((family) =>
    Object.entries(family.checkpoints)
      .filter(([, card]) => card.num_steps > 1)
      .map(([name, card]) => ({ value: `${family.name}/${name}`, steps: card.num_steps, shape: family.image_shape })),
  );
}

/** Classifiers or data of the teacher's shape first. */
export function fittingFirst(items, shape) {
  const fits = (item) => JSON.stringify(item.shape) === JSON.stringify(shape);
  return [...items.filter(fits), ...items.filter((item) => !fits(item))];
}
