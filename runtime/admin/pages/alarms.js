// What is wrong at this moment, and whether the node counts as ready for all that.

import { ago, chip, count, el, empty, moment } from "./dom.js";

export default function alarms(frame) {
  const list = el("div", { class: "stack" });
  frame.root.append(list);
  frame.follow({}, (now) => {
    const nodes = now.alarms.map((one) => el("article", { class: `card alarm ${one.level}` },
      el("header", {}, chip(one.level, one.level === "warning" || one.level === "info" ? "warn" : "bad"), el("h2", {}, one.id),
        el("span", { class: "dim", title: moment(one.since) }, ago(one.since) + (one.times > 1 ? `, ${one.times} times` : ""))),
      el("pre", { class: "text" }, one.description)));
    if (now.more) nodes.push(el("p", { class: "dim" }, `and ${count(now.more)} older ones, which alarms() in the shell lists.`));
    if (!now.ready) nodes.unshift(el("article", { class: "card alarm error" }, el("header", {}, chip("not ready", "bad"), el("h2", {}, "The node does not serve")), el("ul", {}, now.reasons.map((one) => el("li", {}, one)))));
    list.replaceChildren(...(nodes.length ? nodes : [empty("No alarm is up.", "Long mailboxes, lag, memory, disk, crash loops and the like appear here, and go by themselves.")]));
  });
}
