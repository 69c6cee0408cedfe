// Acting: asking first, telling what came of it; and the drawer with one process, from which most acts start.

import { chip, count, el, facts, plainLabel, refill, short, size, visible } from "./dom.js";
import { act, live } from "./net.js";

const drawer = document.getElementById("drawer");
const toasts = document.getElementById("toasts");
let stop = null, opener = null;

export function toast(text, kind = "") {
  const node = el("div", { class: `toast ${kind}` }, text);
  toasts.append(node);
  setTimeout(() => node.remove(), kind === "bad" ? 12000 : 6000);
}

// Resolves to true when the person has said so, with the mouse or the keyboard.
export function confirmed(title, text, verb, extra) {
  return new Promise((resolve) => {
    const end = (answer) => { dialog.close(); dialog.remove(); resolve(answer); };
    const dialog = el("dialog", { class: "ask", "aria-labelledby": "ask-title", oncancel: () => end(false) },
      el("h2", { id: "ask-title" }, title), el("p", {}, text), extra,
      el("div", { class: "buttons" },
        el("button", { onclick: () => end(false), autofocus: true }, "Cancel"),
        el("button", { class: "danger", "data-act": "sure", onclick: () => end(true) }, verb)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Do an operation; say what came of it; return the result, or undefined.
export async function perform(name, values, done) {
  try {
    const result = await act(name, values);
    toast(done || String(result), "good");
    return result ?? true;
  } catch (error) {
    toast(error.message, "bad");
    return undefined;
  }
}

export function dialogOf(title, ...children) {
  const dialog = el("dialog", { class: "wide", "aria-label": title, onclose: () => dialog.remove() },
    el("header", {}, el("h2", {}, title), el("button", { class: "quiet", "aria-label": "Close", onclick: () => dialog.close() }, "✕")),
    ...children);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// One process, in the drawer.

export function closeDrawer() {
  if (drawer.hidden) return;
  stop?.();
  stop = null;
  drawer.hidden = true;
  drawer.replaceChildren();
  opener?.focus?.();
}

export function openProcess(who) {
  stop?.();
  if (drawer.hidden) opener = document.activeElement;
  const body = el("div", { class: "body" });
  const title = el("h2", {}, visible(short(String(who))));
  const close = el("button", { class: "quiet", "aria-label": "Close", onclick: closeDrawer }, "✕");
  const state = el("pre", { class: "code", hidden: true });
  const buttons = el("div", { class: "buttons" });
  drawer.replaceChildren(el("header", {}, title, close), buttons, state, body);
  drawer.setAttribute("role", "dialog");
  drawer.setAttribute("aria-label", visible(`Process ${who}`));
  drawer.hidden = false;
  close.focus();

  let before = "";
  const show = (found) => {
    const row = found.row;
    const pid = String(row.number);
    title.textContent = visible(short(row.pid));
    const status = row.status + row.type;
    if (status !== before) {
      before = status;
      refill(buttons, ...actions(row, pid, state));
    }
    refill(body, ...[
      el("p", { class: "chips" }, chip(row.type), chip(row.status, STATUS[row.status] || ""),
        found.trap_exit && chip("traps exits"), row.priority !== "normal" && chip(`${row.priority} priority`), found.alarmed && chip("long mailbox", "bad")),
      facts([
        ["runs", row.initial_call], ["at", row.current], ["label", plainLabel(row.label) || "none"], ["waits in", row.waits_for || "its mailbox"],
        ["mailbox", `${count(row.mailbox)} of ${count(found.watermarks[0])}`], ["memory", `${size(row.memory)}, state ${size(found.heap)}`],
        ["number", row.number], ["parent", row.parent ? pidLink(row.parent) : "none"],
      ]),
      pids("Links", found.links), pids("Monitors", found.monitors), pids("Monitored by", found.monitored_by), pids("Ancestors", found.ancestors),
      found.senders.length && part("Top senders", el("ul", { class: "pids" }, found.senders.map(([one, n]) => el("li", {}, pidLink(one), ` ${count(n)}`)))),
      found.messages.length && part("Head of the mailbox", el("ol", { class: "code" }, found.messages.map((one) => el("li", {}, one)))),
      found.stack.length ? part("Stack, the innermost call last", el("pre", { class: "code" }, found.stack.join("\n"))) : null,
      Object.keys(found.dictionary).length && part("Dictionary", facts(Object.entries(found.dictionary))),
    ].filter(Boolean));
    drawer.dataset.ready = pid;
  };
  delete drawer.dataset.ready;
  stop = live("process", { pid: who }, {
    look: show,
    gone: (data) => { buttons.replaceChildren(); body.prepend(el("p", { class: "bad-text" }, `It has ended: ${data.text}.`)); },
  });
}

export const STATUS = { running: "good", runnable: "good", waiting: "", suspended: "warn", restarting: "bad", stopped: "bad" };

export const pidLink = (pid) => el("button", { class: "pid", "data-key": pid, onclick: (event) => { event.stopPropagation(); openProcess(pid); } }, short(pid));

function actions(row, pid, state) {
  const name = short(row.pid);
  const isServer = ["server", "state machine", "supervisor"].includes(row.type);
  const ask = el("button", { "data-act": "state", onclick: async () => {
    const text = await act("state", { who: pid }).catch((error) => error.message);
    state.textContent = visible(text);
    state.hidden = false;
  } }, "Ask for its state");
  const hold = row.status === "suspended"
    ? el("button", { "data-act": "resume", onclick: () => perform("resume", { who: pid }) }, "Resume")
    : el("button", { "data-act": "suspend", onclick: async () => {
      const text = "It takes no messages until it is resumed; its mailbox grows meanwhile.";
      if (await confirmed(`Suspend ${name}?`, text, "Suspend")) perform("suspend", { who: pid });
    } }, "Suspend");
  const restart = el("button", { "data-act": "restart", onclick: async () => {
    const text = "Its supervisor stops it in order and starts it again by its spec.";
    if (await confirmed(`Restart ${name}?`, text, "Restart")) perform("restart", { who: pid });
  } }, "Restart");
  const kill = el("button", { class: "danger", "data-act": "kill", onclick: async () => {
    const text = "It ends at once, with everything linked to it that does not trap exits. Its supervisor starts it again if its restart type says so.";
    if (await confirmed(`Kill ${name}?`, text, "Kill")) perform("kill", { who: pid });
  } }, "Kill");
  return isServer ? [ask, hold, restart, kill] : [restart, kill];
}

const part = (name, node) => el("section", {}, el("h3", {}, name), node);
const pids = (name, list) => (list.length ? part(`${name} (${list.length})`, el("ul", { class: "pids" }, list.map((one) => el("li", {}, pidLink(one))))) : null);
