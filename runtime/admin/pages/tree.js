// The supervision tree, drawn from left to right. Boxes open and close; one that is opened by Enter or a click shows its process.

import { count, el, short, svg } from "./dom.js";
import { openProcess } from "./acts.js";

const BOX = 196, HIGH = 34, STEP = 42, WIDE = 252, PAD = 16;
const MANY = 14; // so many children are folded at first

export default function tree(frame) {
  const folded = new Map(); // key of a box -> folded by hand, or unfolded
  const paper = svg("svg", { class: "tree", role: "tree", "aria-label": "Supervision tree" });
  const bar = el("div", { class: "bar" },
    el("button", { onclick: () => foldAll(false) }, "Open all"), el("button", { onclick: () => foldAll(true) }, "Fold all"),
    el("span", { class: "legend" }, 
      ["application", "supervisor", "worker"].map((kind) => el("span", {}, mark(kind), kind)),
      el("span", {}, el("i", { class: "dot warn" }), "restarted"), el("span", {}, el("i", { class: "dot bad" }), "down")));
  frame.root.append(bar, el("div", { class: "scroll paper", tabindex: 0, role: "region", "aria-label": "Drawing" }, paper));
  let trees = [], seen = "", here = ""; // here: the one box that Tab leads to; arrows lead on

  function foldAll(close) {
    const walk = (node, key, depth) => {
      if (node.children.length) folded.set(key, close && depth > 0);
      node.children.forEach((child) => walk(child, `${key}/${child.id}`, depth + 1));
    };
    trees.forEach((one) => walk(one, one.id, 0));
    draw();
  }

  const isFolded = (node, key) => folded.get(key) ?? node.children.length > MANY;

  function draw() {
    const boxes = [], lines = [];
    let row = 0;
    const isNarrow = frame.root.clientWidth < 620;
    const place = (node, key, depth) => {
      const kids = isFolded(node, key) ? [] : node.children;
      const own = isNarrow ? row++ * STEP : 0; // as an outline: everybody has a line of their own
      const spots = kids.map((child) => place(child, `${key}/${child.id}`, depth + 1));
      const hidden = node.more + (kids.length ? 0 : node.children.length);
      if (kids.length && node.more) spots.push({ y: row++ * STEP, more: node.more, depth: depth + 1 });
      const y = isNarrow ? own : spots.length ? (spots[0].y + spots.at(-1).y) / 2 : row++ * STEP;
      const spot = { node, key, depth, y, hidden: kids.length ? 0 : hidden };
      spots.forEach((child) => lines.push([spot, child]));
      boxes.push(spot, ...spots.filter((one) => one.more));
      return spot;
    };
    trees.forEach((one) => { place(one, one.id, 0); row += 0.5; });
    const depth = Math.max(0, ...boxes.map((one) => one.depth));
    const wide = isNarrow ? 26 : WIDE;
    boxes.forEach((one) => { one.x = PAD + one.depth * wide; });
    const width = PAD * 2 + depth * wide + BOX + 40, height = PAD * 2 + row * STEP;
    const focused = document.activeElement?.dataset?.key;
    paper.setAttribute("viewBox", `0 0 ${width} ${height}`);
    paper.setAttribute("width", width);
    paper.setAttribute("height", height);
    paper.replaceChildren(
      svg("g", { class: "lines" }, lines.map(([from, to]) => {
        const x2 = to.x, y2 = PAD + to.y + HIGH / 2;
        if (isNarrow) return svg("path", { d: `M${from.x + 12} ${PAD + from.y + HIGH}V${y2 - 6}q0 6 6 6H${x2}` });
        const x1 = from.x + BOX, y1 = PAD + from.y + HIGH / 2;
        return svg("path", { d: `M${x1} ${y1}C${x1 + 30} ${y1} ${x2 - 30} ${y2} ${x2} ${y2}` });
      })),
      ...boxes.sort((a, b) => a.y - b.y).map(box));
    stops();
    if (focused) paper.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  function stops() {
    const all = [...paper.querySelectorAll(".box")];
    const stop = all.find((one) => one.dataset.key === here) || all.find((one) => one.getAttribute("aria-level") === "1");
    all.forEach((one) => one.setAttribute("tabindex", one === stop ? 0 : -1));
  }

  function box(spot) {
    const x = spot.x, y = PAD + spot.y;
    if (spot.more) return svg("text", { class: "more", x: x + 4, y: y + HIGH / 2 + 4 }, `${count(spot.more)} more`);
    const { node, key } = spot;
    const isDown = !["running", "suspended"].includes(node.status), isRestarted = node.restarts > 0;
    const kind = node.type === "application" ? "application" : node.type === "supervisor" ? "supervisor" : "worker";
    const name = node.id.startsWith("<") ? short(node.id) : node.id;
    const under = node.strategy ? `${node.strategy.replaceAll("_", " ")} ${node.restarts}/${node.intensity}` : `${node.status === "running" ? "" : node.status + " "}${node.restart}`;
    const group = svg("g", {
      class: `box ${kind}${isDown ? " down" : isRestarted ? " restarted" : ""}`, transform: `translate(${x} ${y})`,
      tabindex: -1, role: "treeitem", "data-key": key, "aria-level": spot.depth + 1,
      "aria-expanded": node.children.length ? String(!isFolded(node, key)) : null,
      "aria-label": `${name}, ${node.type}, ${node.status}, mailbox ${node.mailbox}${node.strategy ? `, ${under}` : ""}`,
      onclick: () => node.number && openProcess(node.number),
      onkeydown: (event) => move(event, node, key),
      onfocus: () => { here = key; stops(); },
    },
    svg("rect", { width: BOX, height: HIGH, rx: 8 }),
    svg("text", { class: "name", x: 12, y: 14.5 }, clip(name, 25)),
    svg("text", { class: "under", x: 12, y: 27.5 }, clip(under, 30)),
    node.mailbox > 0 && svg("text", { class: `mail${node.mailbox >= 100 ? " much" : ""}`, x: BOX - 10, y: 21 }, count(node.mailbox)),
    svg("title", {}, `${name}\n${node.initial_call}\n${node.pid || "not running"}`));
    if (node.children.length || node.more) {
      const knob = svg("g", { class: "knob", transform: `translate(${BOX} ${HIGH / 2})`, onclick: (event) => { event.stopPropagation(); fold(node, key); } },
        svg("rect", { x: -2, y: -9, width: spot.hidden ? 18 + String(count(spot.hidden)).length * 7 : 18, height: 18, rx: 9 }),
        svg("text", { x: 7, y: 4 }, spot.hidden ? `+${count(spot.hidden)}` : "–"));
      group.append(knob);
    }
    return group;
  }

  function fold(node, key) {
    folded.set(key, !isFolded(node, key));
    draw();
  }

  function move(event, node, key) {
    const all = [...paper.querySelectorAll(".box")];
    const at = all.findIndex((one) => one.dataset.key === key);
    if (event.key === "Enter" && node.number) openProcess(node.number);
    else if (event.key === "ArrowDown") all[at + 1]?.focus();
    else if (event.key === "ArrowUp") all[at - 1]?.focus();
    else if (event.key === "ArrowRight" && node.children.length && isFolded(node, key)) fold(node, key);
    else if (event.key === "ArrowLeft" && node.children.length && !isFolded(node, key)) fold(node, key);
    else return;
    event.preventDefault();
  }

  addEventListener("resize", draw);
  frame.onclose(() => removeEventListener("resize", draw));
  frame.follow({}, (now) => {
    trees = now.trees;
    const text = JSON.stringify(trees);
    if (text !== seen) { seen = text; draw(); }
  });
}

const mark = (kind) => el("i", { class: `mark ${kind}` });
const clip = (text, n) => (text.length > n ? text.slice(0, n - 1) + "…" : text);
