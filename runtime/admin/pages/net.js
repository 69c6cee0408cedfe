// Talking to the node. The token is only ever sent as a header, by these functions, to this address.

import { setClock } from "./dom.js";

const KEY = "evergreen.token";

export function takeToken() {
  const found = /^#token=([\w-]+)$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(KEY, found[1]);
    history.replaceState(null, "", location.pathname + "#/home");
  }
  return sessionStorage.getItem(KEY);
}

export const setToken = (token) => sessionStorage.setItem(KEY, token);
export const forget = () => sessionStorage.removeItem(KEY);

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY) || ""}`, ...options.headers };
  const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  const date = Date.parse(answer.headers.get("Date"));
  if (date) setClock(date / 1000);
  if (answer.ok) return answer;
  const text = await answer.text();
  let said = text;
  try { said = JSON.parse(text).text || text; } catch { /* it was plain text */ }
  throw new Refused(answer.status, said);
}

const query = (values) => {
  const text = new URLSearchParams(values || {}).toString();
  return text ? "?" + text : "";
};

export const look = async (name, values) => (await ask(`/api/look/${name}${query(values)}`)).json();

export async function act(name, values) {
  const headers = { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await ask(`/api/act/${name}`, { method: "POST", headers, body: JSON.stringify(values || {}) });
  } catch (error) {
    if (error instanceof Refused) throw error;
    // What was begun is done to its end, whoever leaves: nobody can say from here whether it had been.
    throw new Error("The connection ended before the node had answered: its log says what came of it.");
  }
  return (await answer.json()).result;
}

// Follow a view until the function that is returned is called. Out of sight it rests; a broken connection is made anew.
export function live(name, values, on) {
  let stop = null, isOver = false, pause = 500, timer = 0, trouble = null;

  async function read() {
    if (isOver || stop || document.hidden) return;
    const control = (stop = new AbortController());
    trouble = null;
    try {
      const answer = await ask(`/api/live/${name}${query(values)}`, { signal: control.signal });
      pause = 500;
      on.up?.();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const events = (rest + value).split("\n\n");
        rest = events.pop();
        for (const event of events) {
          const kind = /^event: (\w+)$/m.exec(event)?.[1];
          const data = /^data: (.*)$/m.exec(event)?.[1];
          if (kind === "gone") isOver = true;
          if (kind && data && !control.signal.aborted) on[kind]?.(JSON.parse(data));
        }
      }
    } catch (error) {
      if (control.signal.aborted) return;
      if (error instanceof Refused && error.status === 401) { isOver = true; on.denied?.(); return; }
      trouble = error;
    } finally {
      if (stop === control) stop = null;
    }
    if (isOver || control.signal.aborted) return;
    on.down?.(trouble);
    timer = setTimeout(read, pause);
    pause = Math.min(pause * 2, 10000);
  }

  function rest() {
    if (document.hidden) { stop?.abort(); stop = null; clearTimeout(timer); } else read();
  }

  document.addEventListener("visibilitychange", rest);
  read();
  return () => {
    isOver = true;
    clearTimeout(timer);
    stop?.abort();
    document.removeEventListener("visibilitychange", rest);
  };
}
