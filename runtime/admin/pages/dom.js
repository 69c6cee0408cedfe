// Making elements, and saying figures. Text only ever becomes text nodes: nothing from the node is parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

// Characters that steer a terminal or turn the direction of a text are shown, not obeyed: a name must not look like another.
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g;
export const visible = (one) => (typeof one === "string" ? one.replace(STEERING, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`) : one);

const SHOWN = new Set(["aria-label", "title"]);

function fill(node, props, children) {
  for (const [key, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.setAttribute("class", value);
    else node.setAttribute(key, value === true ? "" : SHOWN.has(key) ? visible(String(value)) : String(value));
  }
  node.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false).map(visible));
  return node;
}

export const el = (tag, props, ...children) => fill(document.createElement(tag), props, children);
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

// figures

export const count = (n) => (n === null || n === undefined ? "" : Math.round(n).toLocaleString("en"));

export function size(bytes) {
  let n = Number(bytes) || 0;
  for (const unit of ["B", "KB", "MB", "GB", "TB"]) { // as the shell writes them
    if (n < 1000 || unit === "TB") return `${n < 100 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1024;
  }
  return "";
}

export function span(seconds) {
  const s = Number(seconds) || 0;
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  if (s < 1) return `${s < 0.01 ? (s * 1000).toFixed(1) : Math.round(s * 1000)} ms`;
  if (s < 120) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const rate = (n) => (n >= 10000 ? `${(n / 1000).toFixed(1)} k` : n >= 10 ? count(n) : (Number(n) || 0).toFixed(1));
export const share = (n) => `${n < 0.1 ? (100 * n).toFixed(1) : Math.round(100 * n)} %`;

// Times are the browser's own zone's; `moment` says which that is.
const two = (n) => String(n).padStart(2, "0");
const dayOf = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

export function when(seconds) {
  const date = new Date(seconds * 1000);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return dayOf(date) === dayOf(new Date()) ? time : `${dayOf(date)} ${time}`;
}

export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const east = -date.getTimezoneOffset();
  const zone = `UTC${east < 0 ? "-" : "+"}${two(Math.floor(Math.abs(east) / 60))}:${two(Math.abs(east) % 60)}`;
  return `${dayOf(date)} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`;
}

// How long ago something was, by the node's clock: this machine's may be another.
let ahead = 0;
export function setClock(seconds) {
  const by = seconds - Date.now() / 1000;
  ahead = Math.abs(by) > 2 ? by : 0; // an answer's Date has whole seconds
}
export const ago = (seconds) => span(Math.max(0, Date.now() / 1000 + ahead - seconds)) + " ago";

// the node's own name at the end of each pid says nothing here
export const short = (pid) => (pid ? pid.replace(/^<([^@]+)@.*>$/, "<$1>") : "");

// of a dotted name, what tells most: the class and the function
export const tail = (name) => (name || "").split(".").slice(-2).join(".");

export const plainLabel = (label) => (label || "").replace(/^'(.*)'$/, "$1");

// pieces that several views use

// Put others in the place of a node's children; whoever is there with the keyboard stays there (data-act or data-key).
export function refill(node, ...children) {
  const at = node.contains(document.activeElement) ? document.activeElement.dataset : {};
  node.replaceChildren(...children);
  const name = at.act ? "act" : at.key ? "key" : "";
  if (name) node.querySelector(`[data-${name}="${CSS.escape(at[name])}"]`)?.focus({ preventScroll: true });
}

export const chip = (text, kind = "") => el("span", { class: `chip ${kind}` }, text);
export const empty = (text, hint = "") => el("div", { class: "empty" }, el("p", {}, text), hint && el("p", { class: "dim" }, hint));

export function card(title, ...children) {
  return el("section", { class: "card" }, title && el("h2", {}, title), ...children);
}

export function facts(pairs) {
  return el("dl", { class: "facts" }, pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

// columns: [{head, cell(row), class, sort}]; the body alone is redrawn, so that focus and scroll stay.
export function table(columns, { label, onopen, onsort, sort, reverse } = {}) {
  const body = el("tbody");
  const heads = columns.map((column) => {
    if (!column.sort) return el("th", { class: column.class, scope: "col" }, column.head);
    const button = el("button", { class: "sort", onclick: () => onsort(column.sort) }, column.head);
    return el("th", { class: column.class, scope: "col" }, button);
  });
  const mark = (by, backwards) => columns.forEach((column, at) => {
    if (column.sort) heads[at].setAttribute("aria-sort", column.sort !== by ? "none" : backwards ? "ascending" : "descending");
  });
  mark(sort, reverse);
  const node = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    el("table", {}, el("thead", {}, el("tr", {}, heads)), body));
  const show = (rows) => {
    const focused = document.activeElement && body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    body.replaceChildren(...rows.map((row) => {
      const cells = columns.map((column) => el("td", { class: column.class }, column.cell(row)));
      const props = {};
      if (onopen) {
        props.tabindex = 0;
        props.class = "opens";
        props["data-key"] = row.number ?? row.id;
        props.onclick = () => onopen(row);
        props.onkeydown = (event) => { if (event.key === "Enter" && event.target === event.currentTarget) { event.preventDefault(); onopen(row); } };
      }
      return el("tr", props, cells);
    }));
    if (focused) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  };
  return { node, show, mark };
}
