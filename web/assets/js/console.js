// The console of a server: a terminal, a ticket for each connection, and coming back by itself. A bundle of its own,
// which only the console's page loads.
import "./strict.js";
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import "../css/console.css";

// Closes after which it is worth trying again without being asked: the guest ended (it may be rebooting), the host or
// the control plane went away for a moment.
const PASSING = new Set([1001, 1006, 1012, 4000, 4001, 4004, 4005]);
const LONGEST_PAUSE = 15_000;
const LARGEST_PIECE = 16 << 10;
// Output that the terminal has not drawn yet. Beyond this it is skipped: a browser cannot slow a WebSocket down.
const MOST_UNDRAWN = 2 << 20;

const root = document.getElementById("console");
const screen = document.getElementById("console-screen");
const state = document.getElementById("console-state");
const again = document.getElementById("console-again");
const bytes = new TextEncoder();

root.hidden = false;
const terminal = new Terminal({
  cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
  fontFamily: getComputedStyle(screen).fontFamily,
  fontSize: 13,
  minimumContrastRatio: 4.5,
  scrollback: 5000,
  theme: theme(),
});
const fit = new FitAddon();
terminal.loadAddon(fit);
terminal.open(screen);
fit.fit();

let socket = null;
let timer = null;
let failures = 0;
let undrawn = 0;
let skipped = false;

function theme() {
  const { backgroundColor: background, color } = getComputedStyle(screen);
  const selection = getComputedStyle(screen, "::before").backgroundColor;
  return { background, foreground: color, cursor: color, cursorAccent: background, selectionBackground: selection };
}

function tell(what, text, button) {
  state.dataset.state = what;
  state.textContent = text;
  again.hidden = !button;
}

// It did not work and will not by itself.
function stop(text) {
  tell("stopped", text, true);
}

// It did not work and may soon.
function later(text) {
  failures += 1;
  const pause = Math.min(LONGEST_PAUSE, 500 * 2 ** failures) * (0.75 + Math.random() / 2);
  tell("waiting", `${text} Trying again …`, true);
  timer = setTimeout(connect, pause);
}

async function connect() {
  clearTimeout(timer);
  socket?.close();
  socket = null;
  tell("connecting", "Connecting …", false);
  let answer;
  let body = {};
  try {
    answer = await fetch(root.dataset.ticket, { method: "POST", headers: { "HX-Request": "true" } });
    body = await answer.json().catch(() => ({}));
  } catch {
    return later("The control plane does not answer.");
  }
  if (answer.status === 401) return location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
  if (answer.status === 404) return stop("This server is gone.");
  if (!answer.ok && (body.passes || answer.status >= 500)) return later(body.message ?? "Something broke on our side.");
  if (!answer.ok) return stop(body.message ?? "This is not allowed.");
  const url = new URL(body.socket, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  listen(new WebSocket(url));
}

function listen(opened) {
  socket = opened;
  opened.binaryType = "arraybuffer";
  opened.addEventListener("message", ({ data }) => {
    if (opened !== socket) return;
    if (data instanceof ArrayBuffer) show(new Uint8Array(data));
    else if (JSON.parse(data).connected) connected();
  });
  opened.addEventListener("close", ({ code, reason }) => {
    if (opened !== socket) return;
    socket = null;
    const text = reason ? `${reason[0].toUpperCase()}${reason.slice(1)}.` : "The connection broke.";
    if (PASSING.has(code)) later(text);
    else stop(text);
  });
}

function connected() {
  failures = 0;
  terminal.reset(); // the history comes again
  tell("connected", "Connected", false);
  size();
  terminal.focus();
}

function show(output) {
  if (undrawn > MOST_UNDRAWN) {
    skipped = true;
    return;
  }
  if (skipped) terminal.write("\r\n[output skipped]\r\n");
  skipped = false;
  undrawn += output.length;
  terminal.write(output, () => {
    undrawn -= output.length;
  });
}

function size() {
  const { cols, rows } = terminal;
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ resize: { cols, rows } }));
}

function type(keys) {
  if (socket?.readyState !== WebSocket.OPEN) return;
  for (let at = 0; at < keys.length; at += LARGEST_PIECE) socket.send(keys.subarray(at, at + LARGEST_PIECE));
}

terminal.onData((text) => type(bytes.encode(text)));
terminal.onBinary((text) => type(Uint8Array.from(text, (char) => char.charCodeAt(0))));
terminal.onResize(size);
new ResizeObserver(() => fit.fit()).observe(screen);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  terminal.options.theme = theme();
});
again.addEventListener("click", () => {
  failures = 0;
  connect();
});
connect();
