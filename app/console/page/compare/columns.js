/** The columns of a comparison: checkpoints of one family or two, each in a number of steps. */

/** @typedef {{key: string, family: string, checkpoint: string, steps: number, isTeacher: boolean, shape: number[], card: string}} Column */

/** @param {any} family As `GET /models` has it. @param {number} teacherSteps 0: no teacher. @returns {Column[]} */
export function columnsOf(family, teacherSteps) {
  const steps = Object.keys(family.steps)
    .map(Number)
    .sort((a, b) => a - b);
  const students = steps.map((one) => column(family, family.steps[one], one, false));
  const teacher = teacherOf(family);
  return teacher && teacherSteps ? [...students, column(family, teacher, teacherSteps, true)] : students;
}

/** Name of the checkpoint of most steps, if it has more than students have. */
export function teacherOf(family) {
  const most = Object.entries(family.checkpoints).sort(([, a], [, b]) => b.num_steps - a.num_steps)[0];
  return most && most[1].num_steps > 8 ? most[0] : null;
}

/** Steps that the teacher of a family may be sampled in, beyond those of students. */
export function teacherSteps(family, most) {
  const teacher = teacherOf(family);
  if (!teacher) return [];
  const own = family.checkpoints[teacher].num_steps;
  const all = Array.from({ length: Math.min(own, most) }, (_, index) => index + 1);
  return all.filter((one) => own % one === 0 && one > 8);
}

/** The figures of a card at a number of steps, those measured last. */
export function figuresOf(card, steps) {
  const measured = (card?.metrics?.evaluations ?? []).filter((one) => one.num_steps === steps);
  return measured.at(-1) ?? null;
}

function column(family, checkpoint, steps, isTeacher) {
  const { card } = family.checkpoints[checkpoint];
  return {
    key: `${family.name}/${checkpoint}/${steps}`,
    family: family.name,
    checkpoint,
    steps,
    isTeacher,
    shape: family.image_shape,
    card,
  };
}
