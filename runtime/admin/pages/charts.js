// A chart of one figure over the last minutes: a canvas, drawn anew at each sample; the pointer shows values of the past.

import { el, when } from "./dom.js";

const open = new Set();
const GAP = 7; // seconds between two samples from which on the line is broken: the node was not looked at

export function chart({ title, key, show, color = "--series-1", least = 1, also }) {
  const canvas = el("canvas", { role: "img" });
  const value = el("strong", { class: "value" });
  const note = el("span", { class: "note" });
  const node = el("figure", { class: "card chart" },
    el("figcaption", {}, el("span", { class: "name" }, title), value, note), canvas);
  let samples = [], at = -1, width = 0, height = 0;

  function draw() {
    const ratio = devicePixelRatio || 1;
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(node);
    pen.scale(ratio, ratio);
    pen.clearRect(0, 0, width, height);
    if (!samples.length) return;
    const end = samples.at(-1).time, begin = Math.min(samples[0].time, end - 60);
    const top = nice(Math.max(least, ...samples.map((one) => one[key])));
    const x = (time) => ((time - begin) / Math.max(end - begin, 1)) * (width - 4) + 2;
    const y = (n) => height - 3 - (n / top) * (height - 16);

    pen.font = "11px system-ui, sans-serif";
    pen.strokeStyle = style.getPropertyValue("--line");
    pen.fillStyle = style.getPropertyValue("--dim");
    pen.lineWidth = 1;
    for (const part of [0, 0.5, 1]) {
      const line = Math.round(y(top * part)) + 0.5;
      pen.beginPath();
      pen.moveTo(0, line);
      pen.lineTo(width, line);
      pen.stroke();
    }
    pen.fillText(show(top), 2, y(top) - 4);

    const ink = style.getPropertyValue(color).trim();
    const wash = pen.createLinearGradient(0, y(top), 0, height);
    wash.addColorStop(0, ink + "4d");
    wash.addColorStop(1, ink + "08");
    for (const part of pieces(samples)) {
      pen.beginPath();
      part.forEach((one, n) => pen[n ? "lineTo" : "moveTo"](x(one.time), y(one[key])));
      pen.strokeStyle = ink;
      pen.lineWidth = 1.75;
      pen.lineJoin = "round";
      pen.stroke();
      pen.lineTo(x(part.at(-1).time), y(0));
      pen.lineTo(x(part[0].time), y(0));
      pen.closePath();
      pen.fillStyle = wash;
      pen.fill();
    }
    const shown = at >= 0 && at < samples.length ? samples[at] : samples.at(-1);
    if (at >= 0) {
      pen.strokeStyle = style.getPropertyValue("--dim");
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(x(shown.time), 10);
      pen.lineTo(x(shown.time), height);
      pen.stroke();
    }
    pen.fillStyle = ink;
    pen.beginPath();
    pen.arc(x(shown.time), y(shown[key]), 3, 0, 7);
    pen.fill();
    value.textContent = show(shown[key]);
    note.textContent = at >= 0 ? when(shown.time) : also ? also(shown) : "";
    canvas.setAttribute("aria-label", `${title}: now ${show(samples.at(-1)[key])}, at most ${show(Math.max(...samples.map((one) => one[key])))}`);
  }

  function point(event) {
    const begin = Math.min(samples[0]?.time ?? 0, (samples.at(-1)?.time ?? 0) - 60), end = samples.at(-1)?.time ?? 0;
    const time = begin + (event.offsetX / Math.max(width, 1)) * (end - begin);
    at = samples.reduce((best, one, n) => (Math.abs(one.time - time) < Math.abs(samples[best].time - time) ? n : best), 0);
    draw();
  }

  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerleave", () => { at = -1; draw(); });
  open.add(draw);
  return { node, set(list) { samples = list; draw(); }, close() { open.delete(draw); } };
}

function pieces(samples) {
  const found = [[]];
  for (const one of samples) {
    const last = found.at(-1).at(-1);
    if (last && one.time - last.time > GAP) found.push([]);
    found.at(-1).push(one);
  }
  return found;
}

function nice(n) {
  const step = 10 ** Math.floor(Math.log10(n));
  return [1, 1.5, 2, 3, 4, 5, 7.5, 10].find((factor) => factor * step >= n * 1.0001) * step;
}

const again = () => open.forEach((draw) => draw());
addEventListener("resize", again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
