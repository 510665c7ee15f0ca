/** Labelled inputs, each with a hint and the sentence about what is wrong with it. */
import { html, useEffect, useId, useState } from "../base/html.js";

/** @param {{label: string, hint?: string, fault?: string, children: (attributes: object) => any}} props */
export function Field({ label, hint, fault, children }) {
  const id = useId();
  const told = [hint && `${id}-hint`, fault && `${id}-fault`].filter(Boolean).join(" ");
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${children({ id, "aria-describedby": told || null, "aria-invalid": fault ? "true" : null })}
      ${fault && html`<span class="fault" id="${id}-fault">${fault}</span>`}
      ${hint && html`<span class="hint" id="${id}-hint">${hint}</span>`}
    </div>
  `;
}

/** A number, passed on whenever what is typed is one within its bounds. */
export function NumberField({ label, hint, fault, value, min, max, step = 1, onValue, placeholder }) {
  const [text, setText] = useState(String(value ?? ""));
  useEffect(() => setText(String(value ?? "")), [value]);
  const changed = (event) => {
    setText(event.target.value);
    const number = Number(event.target.value);
    if (event.target.value === "") onValue(null);
    else if (Number.isFinite(number) && (min === undefined || number >= min) && (max === undefined || number <= max))
      onValue(number);
  };
  const attributes = { type: "number", min, max, step, value: text, placeholder, onInput: changed };
  return html`<${Field} label=${label} hint=${hint} fault=${fault}
    >${(more) => html`<input ...${attributes} ...${more} />`}<//
  >`;
}

/** One of several; options are `[value, words]`. */
export function SelectField({ label, hint, fault, value, options, onValue }) {
  return html`
    <${Field} label=${label} hint=${hint} fault=${fault}>
      ${(more) => html`
        <select ...${more} value=${value} onChange=${(event) => onValue(event.target.value)}>
          ${options.map(([key, words]) => html`<option key=${key} value=${key} selected=${key === value}>${words}</option>`)}
        </select>
      `}
    <//>
  `;
}

/** One of a few, all of them to be seen. */
export function Choices({ label, value, options, onValue }) {
  const name = useId();
  return html`
    <fieldset class="field">
      <legend>${label}</legend>
      <div class="choices">
        ${options.map(
          ([key, words]) => html`
            <label key=${key}>
              <input type="radio" name=${name} checked=${key === value} onChange=${() => onValue(key)} />
              ${words}
            </label>
          `,
        )}
      </div>
    </fieldset>
  `;
}
