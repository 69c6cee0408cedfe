// The store: how full it is, how quick, and what waits.

import { chip, count, el, empty, size, span } from "./dom.js";

export default function store(frame) {
  const body = el("div", { class: "stack" });
  frame.root.append(body);
  frame.follow({}, (now) => {
    if (!now.path) { body.replaceChildren(empty(now.error || "This node has no store.")); return; }
    const used = now.map_size ? now.used / now.map_size : 0;
    const state = now.full ? chip("full: writes are refused", "bad") : now.stalled > 2 ? chip(`stalled for ${span(now.stalled)}`, "bad") : chip("takes commits", "good");
    body.replaceChildren(
      el("section", { class: "card" }, el("header", {}, el("h2", {}, "Store"), state),
        el("p", { class: "dim wrap" }, now.path),
        el("progress", { max: 1, value: used, "aria-label": "Used" }),
        el("p", { class: "dim" }, `${size(now.used)} of the file's ${size(now.map_size)}; it grows by itself.`)),
      el("div", { class: "tiles" }, [
        ["commit latency", span(now.latency), "from sending to durable"],
        ["commits", count(now.answered), "answered"],
        ["batch", now.groups ? (now.answered / now.groups).toFixed(1) : "–", "commits in a transaction"],
        ["waiting", count(now.pending), size(now.pending_bytes)],
        ["writer's pid", now.writer_pid, now.writer_restarts ? `${now.writer_restarts} restarts` : "never restarted"],
        ["shards", count(now.nshards), `schema ${now.schema}`],
      ].map(([name, value, note]) => el("div", { class: "card tile" }, el("span", { class: "dim" }, name), el("strong", {}, value), el("span", { class: "dim" }, note)))));
  });
}
