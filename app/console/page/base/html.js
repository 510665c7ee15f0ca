/** What every part of the page is written with: components, hooks, and markup as tagged templates. */
import { h } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

export { render, Fragment } from "../vendor/preact.js";
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.js";

/** Text in it becomes text nodes and attributes, never markup, whatever name a user chose. */
export const html = htm.bind(h);
