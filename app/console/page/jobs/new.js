/** The form of a new job. */
import { link, useQuery } from "../base/address.js";
import { ask, read } from "../base/api.js";
import { html, useState } from "../base/html.js";
import { useLoaded } from "../base/loading.js";
import { readModels } from "../base/pages.js";
import { Field, NumberField, SelectField } from "../parts/field.js";
import { Notice } from "../parts/notice.js";
import { EVALUATED, bodyOf, described, fittingFirst, teachersOf } from "./form.js";

const BY_HAND = ["teacher", "guide", "classifier", "data", "evaluate", "name", "promote"];
const DEFAULT = "As the service chooses";
const NO_GUIDE = ["", "None"];
const PROMOTE = [
  ["never", "Never"],
  ["if_better", "If its Fréchet distance is lower"],
  ["always", "Always"],
];

export function NewJob() {
  const { value, error } = useLoaded(async (signal) => {
    const [models, classifiers, datasets, methods] = await Promise.all([
      readModels(signal),
      ...["classifiers", "datasets", "methods"].map((path) => read(path, { signal })),
    ]);
    return { models, classifiers: classifiers.classifiers, datasets, methods };
  }, []);
  return html`
    <div class="title">
      <h1>New job</h1>
      <p>Students of fewer steps, distilled from a teacher and served</p>
    </div>
    <${Notice} error=${error} />
    ${value && html`<${Form} ...${value} />`}
  `;
}

function Form({ models, classifiers, datasets, methods }) {
  const { query: typed, change } = useQuery();
  const [problem, setProblem] = useState(null);
  const [sending, setSending] = useState(false);
  const teachers = teachersOf(models);
  const teacher =
    teachers.find(({ value }) => value === typed.teacher) ?? teachers.find(({ steps }) => steps === 8) ?? teachers[0];
  const method =
    methods.methods.find(({ name }) => name === typed.method) ??
    methods.methods.find(({ name }) => name === methods.default);
  if (!teacher) return html`<p class="empty">There is no checkpoint of more than one step that could teach.</p>`;

  const fault = (name) => problem?.fields[name];
  const set = (name) => (value) => change({ [name]: value });
  const offered = (items) => [["", DEFAULT], ...fittingFirst(items, teacher.shape).map(({ name }) => [name, name])];
  const common = Object.entries(methods.fields).filter(([name]) => !BY_HAND.includes(name));
  const usable = datasets.datasets
    .filter(({ error }) => !error)
    .map(({ name, image_shape: shape }) => ({ name, shape }));
  const ofSchema = ([name, schema]) =>
    html`<${OfSchema}
      key=${name}
      field=${described(name, schema)}
      fault=${fault(name)}
      value=${typed[name]}
      onValue=${set(name)}
    />`;
  const hint = (name) => described(name, methods.fields[name]).words;
  const shown = new Set(["method", "evaluate.samples", ...Object.keys(methods.fields), ...Object.keys(method.options)]);
  const elsewhere = problem && !Object.keys(problem.fields).some((name) => shown.has(name));

  const send = async (event) => {
    event.preventDefault();
    setSending(true);
    try {
      const body = bodyOf({ ...typed, teacher: teacher.value }, method, methods.fields);
      const answer = await ask("distill-jobs", {
        body,
        headers: { "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()) },
      });
      location.hash = link(["jobs", (await answer.json()).id]);
    } catch (error) {
      setProblem(error);
      setSending(false);
      requestAnimationFrame(() => document.querySelector("[aria-invalid]")?.focus());
    }
  };

  return html`
    <form class="stack" onSubmit=${send} novalidate>
      <${Notice}
        error=${problem && (elsewhere ? problem : new Error("The job was not accepted; what is wrong stands at its fields."))}
      />
      <div class="panel form">
        <${SelectField}
          label="Teacher"
          hint=${`It has ${teacher.steps} steps`}
          fault=${fault("teacher")}
          value=${teacher.value}
          options=${teachers.map(({ value }) => [value, value])}
          onValue=${set("teacher")}
        />
        <${SelectField}
          label="Guide"
          hint=${hint("guide")}
          fault=${fault("guide")}
          value=${typed.guide ?? ""}
          options=${[NO_GUIDE, ...fittingFirst(teachers, teacher.shape).map(({ value }) => [value, value])]}
          onValue=${set("guide")}
        />
        <${SelectField}
          label="Method"
          hint=${wordsOf(method)}
          fault=${fault("method")}
          value=${method.name}
          options=${methods.methods.map(({ name }) => [name, name])}
          onValue=${set("method")}
        />
        ${
          method.takes_classifier &&
          html`<${SelectField}
            label="Classifier"
            hint="Features are compared in its eyes"
            fault=${fault("classifier")}
            value=${typed.classifier ?? ""}
            options=${offered(Object.entries(classifiers).map(([name, card]) => ({ name, shape: card.image_shape })))}
            onValue=${set("classifier")}
          />`
        }
        ${
          method.needs_images &&
          html`<${SelectField}
            label="Data"
            hint=${`synthetic: ${datasets.synthetic}`}
            fault=${fault("data")}
            value=${typed.data ?? ""}
            options=${offered([...usable, { name: "synthetic", shape: teacher.shape }])}
            onValue=${set("data")}
          />`
        }
        <${Field} label="Name" hint=${hint("name")} fault=${fault("name")}>
          ${(more) => html`
            <input
              type="text"
              ...${more}
              value=${typed.name ?? ""}
              maxlength="64"
              autocomplete="off"
              spellcheck=${false}
              onInput=${(event) => change({ name: event.target.value })}
            />
          `}
        <//>
        <${SelectField}
          label="Promote"
          hint="Whether students take their places in the teacher's family"
          fault=${fault("promote")}
          value=${typed.promote ?? "never"}
          options=${PROMOTE}
          onValue=${set("promote")}
        />
        ${common.map(ofSchema)}
        <${NumberField}
          label="Samples to judge by"
          hint="Of each student, where the teacher's card names a judge; 0: students are not judged"
          fault=${fault("evaluate.samples") ?? fault("evaluate")}
          value=${typed[EVALUATED]}
          min=${0}
          placeholder="2000"
          onValue=${set(EVALUATED)}
        />
      </div>
      ${
        Object.keys(method.options).length > 0 &&
        html`
          <section class="panel stack">
            <h2>Options of ${method.name}</h2>
            <div class="form">${Object.entries(method.options).map(ofSchema)}</div>
          </section>
        `
      }
      <div class="row">
        <button type="submit" class="main" disabled=${sending}>${sending ? "Sending…" : "Start the job"}</button
        ><a href="#/jobs">Back to all jobs</a>
      </div>
    </form>
  `;
}

/** The input that a field's schema asks for. What is typed is sent as it is: the service says what is wrong with it. */
function OfSchema({ field, fault, value, onValue }) {
  if (field.choices || field.isSwitch) {
    const choices = field.choices ?? ["true", "false"];
    const otherwise = field.otherwise === null ? DEFAULT : `${field.otherwise}, the default`;
    return html`<${SelectField}
      label=${field.label}
      hint=${field.words}
      fault=${fault}
      value=${value ?? ""}
      options=${[["", otherwise], ...choices.map((one) => [String(one), String(one)])]}
      onValue=${onValue}
    />`;
  }
  return html`
    <${Field} label=${field.label} hint=${field.words} fault=${fault}>
      ${(more) => html`
        <input
          type="text"
          inputmode=${field.isNumber ? "decimal" : null}
          ...${more}
          value=${value ?? ""}
          placeholder=${field.otherwise ?? DEFAULT}
          onInput=${(event) => onValue(event.target.value)}
        />
      `}
    <//>
  `;
}

function wordsOf({ summary, halves }) {
  const rounds = halves ? "Each round halves the steps" : "One round goes all the way";
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}. ${rounds}.`;
}
