/** Requests to the service that serves this page, and its problem documents as sentences. */
import { authorization, wantKey } from "./key.js";

/** An answer that is no success: a sentence, and the sentence for each field at fault. */
export class Problem extends Error {
  /** @param {string} sentence @param {{status?: number, fields?: Record<string, string>, retryAfter?: number}} facts */
  constructor(sentence, { status = 0, fields = {}, retryAfter = 0 } = {}) {
    super(sentence);
    this.status = status;
    this.fields = fields;
    this.retryAfter = retryAfter;
  }
}

const MOST_LISTED = 12;
const LOST = "The service does not answer. It is asked again until it does.";

/** Where to ask: a path of an answer as it is, any other below the prefix of the page. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/** The response to a request.
 * @param {string} path
 * @param {{method?: string, body?: object, accept?: string, headers?: Record<string, string>, signal?: AbortSignal}} [options]
 * @throws {Problem} The service is away, or refuses.
 */
export async function ask(path, { method, body, accept = "application/json", headers = {}, signal } = {}) {
  let response;
  try {
    response = await fetch(address(path), {
      method: method ?? (body ? "POST" : "GET"),
      body: body && JSON.stringify(body),
      headers: { Accept: accept, ...(body && { "Content-Type": "application/json" }), ...authorization(), ...headers },
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(LOST);
  }
  if (response.status === 401) wantKey();
  if (!response.ok) throw await problem(response);
  return response;
}

/** The document that answers a request; errors as of `ask`. */
export async function read(path, options) {
  const response = await ask(path, options);
  return response.status === 204 ? null : response.json();
}

/** Whether the service could not be reached, or is not itself at the moment. */
export function isLost(error) {
  return error instanceof Problem && (error.status === 0 || error.status === 503);
}

async function problem(response) {
  const retryAfter = Number(response.headers.get("Retry-After") ?? 0);
  let told;
  try {
    told = await response.json();
  } catch {
    return new Problem(`The service answers with the status ${response.status}.`, {
      status: response.status,
      retryAfter,
    });
  }
  const several = told.errors ?? (told.field ? [told] : []);
  const fields = Object.fromEntries(several.map((one) => [one.field, explained(one)]));
  return new Problem(sentence(told.detail ?? told.title), { status: response.status, fields, retryAfter });
}

/** What is wrong with a field and, where the words do not say so, the few values that it may have. */
function explained({ detail, allowed }) {
  const few = Array.isArray(allowed) && allowed.length > 0 && allowed.length <= MOST_LISTED;
  const told = few && detail.includes(String(allowed[0]));
  return few && !told ? `${sentence(detail)} It may be ${allowed.join(", ")}.` : sentence(detail);
}

function sentence(words) {
  const text = String(words).replaceAll("`", "").trim();
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
}
