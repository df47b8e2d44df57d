// Reading a graph under the pointer. The server draws the graph; its figure carries the same numbers in data-graph.

const units = {
  percent: (v) => `${v.toFixed(v < 10 ? 1 : 0)} %`,
  bytes: (v) => scaled(v, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]),
  bytes_per_second: (v) => `${scaled(v, 1024, ["B", "KiB", "MiB", "GiB"])}/s`,
  times: (v) => `${scaled(v, 1000, ["", "k", "M", "G"]).trimEnd()} times`,
  bits_per_second: (v) => `${scaled(v, 1000, ["bit", "kbit", "Mbit", "Gbit"])}/s`,
};

function scaled(value, base, names) {
  let i = 0;
  while (value >= base && i < names.length - 1) {
    value /= base;
    i += 1;
  }
  return `${value.toFixed(value < 10 && i > 0 ? 1 : 0)} ${names[i]}`;
}

function read(figure, clientX) {
  const data = JSON.parse(figure.dataset.graph);
  const svg = figure.querySelector("svg");
  const box = svg.getBoundingClientRect();
  const count = data.series[0]?.values.length ?? 0;
  if (!count || !box.width) return;
  const part = Math.min(1, Math.max(0, (clientX - box.left) / box.width));
  const i = Math.round(part * (count - 1));
  const at = new Date((data.start + i * data.step) * 1000);
  const x = ((i / (count - 1)) * 600).toFixed(1);
  const cross = svg.querySelector(".cross");
  cross.setAttribute("x1", x);
  cross.setAttribute("x2", x);
  cross.removeAttribute("visibility");
  const tip = figure.querySelector(".tip");
  const values = data.series.map((s) => `${s.label} ${s.values[i] == null ? "no data" : units[data.unit](s.values[i])}`);
  tip.textContent = `${told(at, data.step)} · ${values.join(" · ")}`;
  tip.hidden = false;
  tip.classList.toggle("left", part > 0.5);
}

function clear(figure) {
  figure.querySelector(".cross")?.setAttribute("visibility", "hidden");
  const tip = figure.querySelector(".tip");
  if (tip) tip.hidden = true;
}

// A time of day for short spans, with the date for longer ones; the reader's clock, then UTC.
function told(at, step) {
  const day = step >= 600 ? { month: "short", day: "numeric" } : {};
  const local = at.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit" });
  return `${local} (${at.toISOString().slice(11, 16)} UTC)`;
}

export function graphs(root) {
  let over = null;
  root.addEventListener("pointermove", (event) => {
    const figure = event.target.closest?.("[data-graph]") ?? null;
    if (over && over.figure !== figure) clear(over.figure);
    over = figure && { figure, x: event.clientX };
    if (over) read(figure, over.x);
  });
  root.addEventListener("htmx:after:swap", () => {
    if (over?.figure.isConnected) read(over.figure, over.x);
  });
}
