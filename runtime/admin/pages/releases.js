// Releases of the code: what runs, how its probation stands, what differs, and the ways back.

import { ago, card, chip, count, el, empty, facts, share, span, table, moment, refill } from "./dom.js";
import { confirmed, dialogOf, perform } from "./acts.js";
import { act, look } from "./net.js";

const RESULT = { good: "good", probation: "warn", bad: "bad", rolled_back: "warn", refused: "" };
const WATCHED = { crash: "crashes", shutdown: "supervisors that gave up", hog: "callbacks that held the node", restart: "ended children", alarm: "alarms", error: "logged errors", lag: "lag of timers", busy: "share of the time at work" };
const SAID = { lag: span, busy: share };

export default function releases(frame) {
  const above = el("div", { class: "stack" });
  const rows = table([
    { head: "#", class: "right", cell: (row) => row.number },
    { head: "Release", cell: (row) => [el("code", {}, row.id), row.is_current && chip("runs", "good")] },
    { head: "Result", cell: (row) => chip(row.result.replace("_", " "), RESULT[row.result] || "") },
    { head: "Made", cell: (row) => el("span", { title: moment(row.time) }, ago(row.time)) },
    { head: "Kind", class: "mid", cell: (row) => row.kind },
    { head: "By", class: "mid", cell: (row) => row.by },
    { head: "Files", class: "right far", cell: (row) => count(row.files) },
    { head: "Note", class: "far", cell: (row) => row.note || row.why },
  ], { label: "Releases", onopen: (row) => open(row) });
  const old = el("div", { class: "stack" });
  const ask = el("button", { hidden: true, onclick: async () => {
    const found = (await look("lingering")).lingering;
    old.replaceChildren(card("Still in old code", found.length ? el("ul", { class: "lines" }, found.map(lingering)) : empty("Nobody runs old code.")));
  } }, "Who still runs old code?");
  let running = "";
  const list = card("Releases", rows.node);
  frame.root.append(above, list, el("div", { class: "buttons" }, ask), old);

  async function back(row, seen) {
    const force = row?.result === "bad" || row?.result === "rolled_back"; // it was taken back: the question says so
    const text = force ? `Release ${row.id} (#${row.number}) was taken back: ${row.why}. The node runs it all the same, states included, and watches it as it does a push.` : row ? `The node runs release ${row.id} (#${row.number}) again, states included.` : "The node runs the release before this one again, states included.";
    if (await confirmed("Roll back?", text, "Roll back")) await perform("rollback", { seen, ...(row && { release: row.id }), ...(force && { force }) }, "Rolled back.");
  }

  async function open(row) {
    const body = el("div", { class: "diff" }, el("p", { class: "dim" }, "…"));
    const dialog = dialogOf(`Release ${row.id} (#${row.number})`,
      facts([["made", moment(row.time)], ["by", row.by], ["kind", row.kind], ["result", row.result], ["note", row.note || "none"], ["why", row.why || "–"], ["on", row.base || "none"], ["took", Object.entries(row.seconds).map(([step, s]) => `${step} ${span(s)}`).join(", ") || "–"]]),
      el("div", { class: "buttons" }, !row.is_current && row.result !== "refused" && el("button", { class: "danger", "data-act": "rollback-to", onclick: () => { dialog.close(); back(row, running); } }, "Roll back to this one")),
      body);
    if (!row.base) {
      body.replaceChildren(empty("It is the first: there is nothing before it."));
      return;
    }
    try {
      const found = await act("diff", { new: row.number });
      const files = Object.entries(found.files);
      body.replaceChildren(...(files.length ? files.map(([path, text]) => el("details", { open: files.length < 8 }, el("summary", {}, path), lines(text))) : [empty("It has the same files as the one before.")]));
    } catch (error) {
      body.replaceChildren(empty(error.message));
    }
  }

  frame.follow({}, (now) => {
    rows.show(now.releases);
    running = now.releases.find((one) => one.is_current)?.id || "";
    list.hidden = !now.releases.length;
    const parts = [];
    if (now.mode === "off") parts.push(empty("Live code is off in this node.", "code.mode = watch or push brings releases."));
    if (now.alarmed) parts.push(el("article", { class: "card alarm error" }, el("header", {}, chip("stuck", "bad"), el("h2", {}, "A bad release could not be rolled back")), el("p", {}, now.alarmed)));
    if (now.busy) parts.push(el("article", { class: "card" }, el("p", {}, chip("under way", "warn"), ` ${now.busy}`, now.waiting.length > 0 && `, then ${now.waiting.join(", ")}`)));
    if (now.probation) parts.push(probation(now.probation, back));
    refill(above, ...parts);
    ask.hidden = now.mode === "off";
  });
}

function probation(now, back) {
  const watched = Object.entries(now.watched).map(([kind, row]) => {
    const say = SAID[kind] || count;
    const is = !SAID[kind] && row.now > 0;
    return el("tr", {}, el("th", { scope: "row" }, WATCHED[kind] || kind), el("td", { class: `right ${is ? "warn-text" : ""}` }, say(row.now)), el("td", { class: "right" }, say(row.before)), el("td", { class: "right" }, row.limit ? say(row.limit) : "–"));
  });
  return el("section", { class: "card probation" },
    el("header", {}, chip("probation", "warn"), el("h2", {}, `Release ${now.release}`), el("span", { class: "dim" }, `${span(now.left)} left`)),
    el("progress", { max: now.length, value: now.length - now.left, "aria-label": "Probation" }),
    el("p", { class: "dim" }, `Watched against as long a time before; the first limit passed takes it back to ${now.back_to}.`),
    el("table", { class: "small" }, el("thead", {}, el("tr", {}, ["", "now", "before", "limit"].map((one, n) => el("th", { class: n ? "right" : "", scope: "col" }, one)))), el("tbody", {}, watched)),
    now.files.length > 0 && el("p", { class: "dim wrap" }, `Changed: ${now.files.map((path) => path.split("/").slice(-2).join("/")).join(", ")}`),
    el("div", { class: "buttons" },
      el("button", { class: "primary", "data-act": "confirm", onclick: () => perform("confirm", { seen: now.release }, "Confirmed: it is good.") }, "It is good"),
      el("button", { class: "danger", "data-act": "rollback", onclick: () => back(null, now.release) }, "Roll back")));
}

const lingering = (one) => el("li", {}, el("span", { class: "line" }, el("b", {}, one.who),
  el("span", { class: "grow code-cell" }, `${one.module}.${one.function}:${one.line}`), el("span", { class: "dim" }, span(one.age))));

const lines = (text) => el("pre", { class: "code" }, text.split("\n").map((line) => {
  const kind = line.startsWith("+++") || line.startsWith("---") ? "file" : line[0] === "+" ? "added" : line[0] === "-" ? "gone" : line.startsWith("@@") ? "hunk" : "";
  return el("span", { class: `diff-line ${kind}` }, line || " ");
}));
