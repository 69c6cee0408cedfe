// Who is connected: listeners, connections, and what applications tell of their users.

import { card, chip, count, el, empty, short, size, span, table } from "./dom.js";
import { openProcess } from "./acts.js";

export default function connections(frame) {
  const doors = table([
    { head: "Listener", cell: (row) => el("b", {}, row.name) },
    { head: "", cell: (row) => chip(row.is_open ? "open" : "closed", row.is_open ? "good" : "bad") },
    { head: "Connections", class: "right", cell: (row) => count(row.connections) },
    { head: "Addresses", class: "right mid", cell: (row) => count(row.addresses) },
    { head: "Accepted", class: "right mid", cell: (row) => count(row.accepted) },
    { head: "Refused", class: "right", cell: (row) => el("span", { class: row.refused ? "warn-text" : "dim" }, count(row.refused)) },
    { head: "Failed", class: "right mid", cell: (row) => count(row.failed) },
  ], { label: "Listeners" });
  const people = table([
    { head: "Peer", cell: (row) => el("b", {}, row.peer) },
    { head: "Listener", class: "mid", cell: (row) => row.listener },
    { head: "Speaks", class: "mid", cell: (row) => row.protocol.split(".").at(-1) + (row.is_tls ? ", TLS" : "") },
    { head: "State", cell: (row) => chip(row.is_stalled ? "does not read" : row.state, row.is_stalled ? "warn" : "") },
    { head: "For", class: "right", cell: (row) => span(row.age) },
    { head: "Quiet", class: "right mid", cell: (row) => span(row.quiet) },
    { head: "In", class: "right", cell: (row) => size(row.bytes_in) },
    { head: "Out", class: "right", cell: (row) => size(row.bytes_out) },
    { head: "To write", class: "right far", cell: (row) => size(row.write_queue) },
    { head: "Process", class: "far", cell: (row) => short(row.pid) },
  ], { label: "Connections", onopen: (row) => openProcess(row.pid) });
  const none = el("div"), own = el("div", { class: "stack" });
  frame.root.append(card("Listeners", doors.node), card("Connections", people.node, none), own);
  frame.follow({}, (now) => {
    doors.show(now.listeners);
    people.show(now.connections);
    people.node.hidden = !now.connections.length;
    const total = now.listeners.reduce((sum, one) => sum + one.connections, 0);
    none.replaceChildren(...(total === 0 ? [empty("Nobody is connected.")] : total > now.connections.length ? [el("p", { class: "dim" }, `${count(now.connections.length)} of ${count(total)} are shown.`)] : []));
    own.replaceChildren(...now.tables.map((one) => {
      const made = table(one.columns.map((head, at) => ({ head, cell: (row) => row[at] })), { label: one.name });
      made.show(one.rows);
      return card(`${one.theme}: ${one.name}`, one.rows.length ? made.node : empty(one.columns.length ? "Nobody is there." : one.note || "It cannot be read."),
        one.rows.length > 0 && one.note && el("p", { class: "dim" }, `${count(one.rows.length)} ${one.note}`));
    }));
  });
}
