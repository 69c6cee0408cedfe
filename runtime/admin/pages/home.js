// Home: is it well, and how has it been for the last ten minutes?

import { chart } from "./charts.js";
import { ago, card, chip, count, el, empty, plainLabel, rate, refill, share, short, size, span } from "./dom.js";
import { openProcess } from "./acts.js";

const KEPT = 300;

export default function home(frame) {
  let samples = [], limits = {};
  const charts = [
    chart({ title: "Load", key: "cpu", show: share, least: 0.1, color: "--series-1", also: () => "of a core" }),
    chart({ title: "Messages", key: "messages", show: (n) => `${rate(n)}/s`, least: 10, color: "--series-2" }),
    chart({ title: "Connections", key: "connections", show: count, least: 10, color: "--series-3", also: (one) => (one.accepted ? `${rate(one.accepted)} new/s` : "") }),
    chart({ title: "Loop lag", key: "loop_lag", show: span, least: 0.005, color: "--series-4", also: () => "worst of a second" }),
    chart({ title: "Run queue", key: "run_queue", show: count, least: 10, color: "--series-5", also: () => "processes" }),
    chart({ title: "Memory", key: "memory", show: size, least: 1e7, color: "--series-6", also: () => (limits.memory_limit ? `of ${size(limits.memory_limit)}` : "") }),
    chart({ title: "Processes", key: "processes", show: count, least: 10, color: "--series-7", also: (one) => (one.crashes ? `${rate(one.crashes)} crashes/s` : `${rate(one.spawned)} new/s`) }),
    chart({ title: "File descriptors", key: "descriptors", show: count, least: 10, color: "--series-8", also: () => (limits.descriptor_limit ? `of ${count(limits.descriptor_limit)}` : "") }),
  ];
  const hero = el("section", { class: "hero" });
  const alarms = card("Alarms"), boxes = card("Longest mailboxes"), apps = card("Applications");
  frame.root.append(hero, el("div", { class: "charts" }, charts.map((one) => one.node)), el("div", { class: "cards" }, alarms, boxes, apps));
  frame.onclose(() => charts.forEach((one) => one.close()));

  const fillIn = (into, node) => refill(into, into.firstChild, node);
  frame.follow({}, (now) => {
    const last = samples.at(-1)?.time ?? 0;
    samples = (now.samples.length > 1 ? now.samples : [...samples, ...now.samples.filter((one) => one.time > last)]).slice(-KEPT);
    limits = now.node;
    charts.forEach((one) => one.set(samples));
    const reasons = now.reasons.length > 1 ? `${now.reasons[0]}, and ${now.reasons.length - 1} more` : now.reasons[0];
    hero.replaceChildren(
      el("div", { class: `health ${now.ready ? "good" : "bad"}` }, el("i", {}),
        el("div", {}, el("strong", {}, now.ready ? "Serving" : "Not ready"), el("span", {}, now.ready ? "all services answer" : reasons))),
      fact("up for", span(now.node.uptime), `life ${now.node.creation}`),
      fact("release", (now.node.release || "none").split(" ")[0], (now.node.release || "").split(" ")[1] || "live code is off"),
      fact("disk", share(now.node.disk_share), "of it in use"),
      fact("Python", now.node.python, `pid ${now.node.pid}`));
    fillIn(alarms, now.alarms.length ? el("ul", { class: "lines" }, now.alarms.map((one) => el("li", {},
      el("a", { href: "#/alarms", "data-key": one.id }, chip(one.level, one.level === "warning" ? "warn" : "bad"), el("span", { class: "grow" }, one.id), el("span", { class: "dim" }, ago(one.since)))))) : empty("No alarm is up."));
    fillIn(boxes, now.mailboxes.length ? el("ul", { class: "lines" }, now.mailboxes.map((row) => el("li", {},
      el("button", { class: "line", "data-key": row.number, onclick: () => openProcess(row.number) }, el("b", { class: "figure" }, count(row.mailbox)), el("span", { class: "grow" }, short(row.pid), el("small", {}, ` ${plainLabel(row.label) || row.initial_call}`)))))) : empty("Nobody has mail waiting."));
    fillIn(apps, now.applications.length ? el("ul", { class: "lines" }, now.applications.map((one) => el("li", {},
      el("span", { class: "line" }, chip(one.status, one.status === "running" ? "good" : "warn"), el("b", {}, one.name), el("span", { class: "grow dim" }, one.description))))) : empty("No application runs."));
  });
}

const fact = (name, value, note) => el("div", { class: "fact" }, el("span", { class: "dim" }, name), el("strong", {}, value), el("span", { class: "dim" }, note));
