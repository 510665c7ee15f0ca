/** The key that requests go with, where the service wants one: kept until the tab is closed, and never in an address. */
import { useEffect, useState } from "./html.js";

const PLACE = "fewstep.key";
const WANTED = "fewstep-key-wanted";

/** The key; empty: there is none. */
export function key() {
  return sessionStorage.getItem(PLACE) ?? "";
}

/** Use a key from now on, or with an empty one none. All that is shown is asked for anew: the address holds what that is. */
export function use(text) {
  if (text) sessionStorage.setItem(PLACE, text);
  else sessionStorage.removeItem(PLACE);
  location.reload();
}

/** The header of a request. */
export function authorization() {
  return key() && { Authorization: `Bearer ${key()}` };
}

/** Say that the service wants a key, or another one. */
export function wantKey() {
  dispatchEvent(new Event(WANTED));
}

/** Whether it was said. */
export function useKeyWanted() {
  const [wanted, setWanted] = useState(false);
  useEffect(() => {
    const note = () => setWanted(true);
    addEventListener(WANTED, note);
    return () => removeEventListener(WANTED, note);
  }, []);
  return wanted;
}
