// The process table: the first so many by what is asked, from the node; filtering and sorting are done there.

import { chip, count, el, plainLabel, short, size, table, tail } from "./dom.js";
import { STATUS, openProcess } from "./acts.js";

export default function processes(frame) {
  const asked = { sort: "mailbox", reverse: "0", limit: "100", filter: frame.query.get("filter") || "" };
  const total = el("span", { class: "dim", role: "status" });
  let timer = 0;
  const field = el("input", { type: "search", placeholder: "Filter: pid, name, function, =waiting", "aria-label": "Filter", value: asked.filter, oninput: () => {
    clearTimeout(timer);
    timer = setTimeout(() => { asked.filter = field.value; follow(); }, 250);
  } });
  const limit = el("select", { "aria-label": "How many", onchange: () => { asked.limit = limit.value; follow(); } },
    ["100", "250", "500"].map((n) => el("option", { value: n }, `${n} rows`)));
  const rows = table([
    { head: "Process", sort: "name", cell: (row) => [el("b", {}, short(row.pid)), row.label && row.label !== `'${row.name}'` && el("small", {}, ` ${plainLabel(row.label)}`)] },
    { head: "Mailbox", sort: "mailbox", class: "right", cell: (row) => el("span", { class: row.mailbox >= 10000 ? "bad-text" : row.mailbox >= 100 ? "warn-text" : row.mailbox ? "" : "dim" }, count(row.mailbox)) },
    { head: "Memory", sort: "memory", class: "right", cell: (row) => size(row.memory) },
    { head: "Status", sort: "status", class: "near", cell: (row) => chip(row.status, STATUS[row.status]) },
    { head: "Links", sort: "links", class: "right far", cell: (row) => count(row.links) },
    { head: "Monitors", sort: "monitors", class: "right far", cell: (row) => count(row.monitors) },
    { head: "Type", class: "far", cell: (row) => row.type },
    { head: "At", sort: "current", class: "mid code-cell", cell: (row) => el("span", { title: row.current }, tail(row.current)) },
    { head: "Runs", sort: "initial_call", class: "widest code-cell", cell: (row) => el("span", { title: row.initial_call }, tail(row.initial_call)) },
  ], {
    label: "Processes", onopen: (row) => openProcess(row.number), sort: asked.sort,
    onsort: (by) => {
      asked.reverse = asked.sort === by && asked.reverse === "0" ? "1" : "0";
      asked.sort = by;
      rows.mark(by, asked.reverse === "1");
      follow();
    },
  });
  frame.root.append(el("div", { class: "bar" }, field, limit, total), rows.node);
  frame.onclose(() => clearTimeout(timer));
  const follow = () => frame.follow(asked, (now) => {
    rows.show(now.rows);
    total.textContent = `${count(now.rows.length)} of ${count(now.total)}`;
  });
  follow();
}
