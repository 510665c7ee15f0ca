/** The address holds what the page shows, behind `#`: `#/generate?family=digits&steps=1`; a link shows the same. */
import { useCallback, useEffect, useState } from "./html.js";

/** @typedef {{path: string[], query: Record<string, string>}} Place */

/** @returns {Place} */
export function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decode), query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a place; what has no value is left out. */
export function link(path, query = {}) {
  const there = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(there.map(([name, value]) => [name, String(value)])).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Where the page is, anew whenever that changes. */
export function usePlace() {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const look = () => setPlace(here());
    addEventListener("hashchange", look);
    addEventListener("popstate", look);
    return () => {
      removeEventListener("hashchange", look);
      removeEventListener("popstate", look);
    };
  }, []);
  return place;
}

/** Change the query without a new entry in the history, so that one step back leaves the view. */
export function useQuery() {
  const { path, query } = usePlace();
  const change = useCallback((values) => {
    const now = here();
    history.replaceState(null, "", link(now.path, { ...now.query, ...values }));
    dispatchEvent(new PopStateEvent("popstate"));
  }, []);
  return { path, query, change };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
