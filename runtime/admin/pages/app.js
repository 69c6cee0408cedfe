// The frame: who may look, which view is shown, what stands above all of them, and the keys.

import { el, svg } from "./dom.js";
import { Refused, forget, live, look, setToken, takeToken } from "./net.js";
import { closeDrawer, toast } from "./acts.js";
import alarms from "./alarms.js";
import connections from "./connections.js";
import home from "./home.js";
import logs from "./logs.js";
import processes from "./processes.js";
import releases from "./releases.js";
import store from "./store.js";
import tree from "./tree.js";

const VIEWS = {
  home: ["Home", home, "M3 11 12 4l9 7v9h-6v-6H9v6H3z"],
  tree: ["Tree", tree, "M4 12h5m0 0V6h6m-6 6v6h6M15 4h5v4h-5zm0 12h5v4h-5zM2 10h4v4H2z"],
  processes: ["Processes", processes, "M4 6h16M4 12h16M4 18h10"],
  alarms: ["Alarms", alarms, "M6 17V11a6 6 0 0 1 12 0v6l2 2H4zm4 4h4"],
  releases: ["Releases", releases, "M6 3v12m0 0a3 3 0 1 0 .1 0M18 9a3 3 0 1 0-.1 0m0 0c0 5-6 4-11.5 6"],
  connections: ["Connections", connections, "M4 8h13l-3-3m6 11H7l3 3"],
  logs: ["Logs", logs, "M5 4h14v16H5zm3 5h8m-8 4h8m-8 4h5"],
  store: ["Store", store, "M4 6c0-4 16-4 16 0s-16 4-16 0v12c0 4 16 4 16 0V6M4 12c0 4 16 4 16 0"],
};

const main = document.getElementById("view");
const title = document.getElementById("title");
const state = document.getElementById("state");
let shown = null;
let badge = null;

// Views: `view(frame)` fills `frame.root`, and says what to follow; `close()` is called when it goes.

function show() {
  const [name, ...rest] = location.hash.replace(/^#\//, "").split("?");
  const view = VIEWS[name] ? name : "home";
  shown?.close();
  closeDrawer();
  const [label, make] = VIEWS[view];
  title.textContent = label;
  document.title = `${label} · Evergreen`;
  for (const link of document.querySelectorAll("#nav a")) {
    link.toggleAttribute("aria-current", link.dataset.view === view);
    if (link.dataset.view === view) link.scrollIntoView({ block: "nearest", inline: "center" });
  }
  main.replaceChildren();
  main.className = `view-${view}`;
  shown = frame(view, new URLSearchParams(rest.join("?")));
  make(shown);
}

function frame(view, query) {
  let stop = () => {};
  const root = main;
  const ends = [];
  return {
    root, query,
    follow(values, onlook) {
      stop();
      stop = live(view, values, {
        look: (data) => { onlook(data); main.dataset.ready = "yes"; },
        head, up: () => document.body.classList.remove("away"), down: away, denied: login,
      });
    },
    onclose: (end) => ends.push(end),
    close() {
      stop();
      ends.forEach((end) => end());
      delete main.dataset.ready;
    },
  };
}

function head(now) {
  document.body.classList.remove("away");
  const parts = [el("span", { class: "node" }, now.node)];
  if (now.probation) parts.push(el("a", { class: "chip warn", href: "#/releases" }, "on probation"));
  if (now.alarms) {
    const text = now.alarms === 1 ? "1 alarm" : `${now.alarms} alarms`;
    parts.push(el("a", { class: `chip ${now.worst > 1 ? "bad" : "warn"}`, href: "#/alarms" }, text));
  }
  const phase = now.phase || "running";
  const sick = !now.ready && phase === "serving";  // else the phase says why it is not ready
  parts.push(el("span", { class: `chip ${now.ready ? "good" : sick ? "bad" : "warn"}` }, sick ? "not ready" : phase));
  state.replaceChildren(...parts);
  badge.textContent = now.alarms || "";
  badge.hidden = !now.alarms;
}

function away(error) {
  document.body.classList.add("away");
  const said = error instanceof Refused ? `the node says: ${error.message}` : "the node does not answer";
  state.replaceChildren(el("span", { class: "chip bad" }, `${said}; trying again`));
}

function login() {
  shown?.close();
  shown = null;
  forget();
  document.body.classList.add("locked");
  title.textContent = "Sign in";
  state.replaceChildren();
  const input = el("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: true });
  const said = el("p", { class: "bad-text", role: "alert" });
  const form = el("form", { class: "card login", onsubmit: async (event) => {
    event.preventDefault();
    setToken(input.value.trim());
    try {
      await look("alarms");
      document.body.classList.remove("locked");
      show();
    } catch (error) {
      said.textContent = error.status === 401 ? "This is not the node's token." : `The node does not answer: ${error.message}`;
      input.select();
    }
  } },
  el("h2", {}, "Who is there?"),
  el("p", {}, "The node's start message has a link that lets you in. Or paste the token from ", el("code", {}, "admin.token"), " in its data directory."),
  el("label", { for: "token" }, "Token"), input, said, el("button", { class: "primary", type: "submit" }, "Look in"));
  main.replaceChildren(form);
  input.focus();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (isTyping) event.target.blur();
    closeDrawer();
  } else if (isTyping) return;
  else if (event.key === "/") {
    const field = main.querySelector("input[type=search]");
    if (field) { field.focus(); event.preventDefault(); }
  } else if (/^[1-8]$/.test(event.key) && shown) location.hash = "#/" + Object.keys(VIEWS)[event.key - 1];
  else if (event.key === "?") toast("Keys: 1 to 8 views, / filter, Enter opens, Esc closes");
}

for (const [name, [label, , path]] of Object.entries(VIEWS)) {
  const icon = svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: path }));
  const link = el("a", { href: `#/${name}`, "data-view": name }, icon, el("span", {}, label));
  if (name === "alarms") link.append((badge = el("b", { class: "badge", hidden: true })));
  document.getElementById("nav").append(link);
}
addEventListener("keydown", keys);
addEventListener("hashchange", () => {
  if (/^#token=/.test(location.hash)) { takeToken(); document.body.classList.remove("locked"); show(); }
  else if (location.hash !== "#view" && shown) show();
});
if (takeToken()) show();
else login();
