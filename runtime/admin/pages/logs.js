// The log, as it is written; the node keeps the last thousand entries.

import { el, moment } from "./dom.js";
import { perform } from "./acts.js";

const KEPT = 2000;

export default function logs(frame) {
  let entries = [], life = null, isPaused = false;
  const field = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter", oninput: () => draw() });
  const level = el("select", { "aria-label": "Least level", onchange: () => { entries = []; follow(); } },
    ["debug", "info", "warning", "error"].map((one) => el("option", { value: one, selected: one === "info" }, `from ${one}`)));
  const pause = el("button", { "aria-pressed": "false", onclick: () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Go on" : "Pause";
    draw();
  } }, "Pause");
  const node = el("select", { "aria-label": "Level of the node's log", onchange: () => { if (node.value) perform("log_level", { level: node.value }, `The node now logs from ${node.value} on.`); node.value = ""; } },
    el("option", { value: "" }, "Set the node's level…"), ["debug", "info", "warning", "error"].map((one) => el("option", { value: one }, one)));
  const list = el("div", { class: "log", tabindex: 0, role: "log", "aria-label": "Log" });
  const bottom = el("button", { class: "bottom", hidden: true, onclick: () => { list.scrollTop = list.scrollHeight; } }, "↓ newest");
  list.addEventListener("scroll", () => { bottom.hidden = isAtEnd(); });
  frame.root.append(el("div", { class: "bar" }, field, level, pause, node), el("div", { class: "log-frame" }, list, bottom));

  const isAtEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const line = ([, kind, at, text]) => el("div", { class: `entry ${kind}`, title: moment(at) }, text);
  const fits = ([, , , text]) => !field.value || text.toLowerCase().includes(field.value.toLowerCase());

  function draw() {
    if (isPaused) return;
    const found = entries.filter(fits);
    list.replaceChildren(...(found.length ? found.map(line) : [el("p", { class: "dim" }, "Nothing has been logged that fits.")]));
    list.scrollTop = list.scrollHeight;
  }

  const follow = () => frame.follow({ level: level.value }, (now) => {
    const isFirst = !entries.length;
    // A connection that was made anew begins from the beginning; a node that was, with numbers from 1.
    const last = life === now.life ? entries.at(-1)?.[0] ?? 0 : 0;
    life = now.life;
    const more = now.entries.filter((one) => one[0] > last);
    entries = [...entries, ...more].slice(-KEPT);
    if (isPaused) return;
    if (isFirst) { draw(); return; }
    const wasAtEnd = isAtEnd();
    list.append(...more.filter(fits).map(line));
    while (list.childElementCount > KEPT) list.firstChild.remove();
    if (wasAtEnd) list.scrollTop = list.scrollHeight;
    else if (more.length) bottom.hidden = false;
  });
  follow();
}
