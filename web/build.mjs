// Builds assets/ into dist/: one script, one style sheet, the console's own of both, one icon sprite, the font and the logo, all with the hash of
// their content in the name, and a manifest that src/assets.rs reads. Texts are also written compressed, because
// compressing the same bytes for every visitor would be waste. Runs without a network.
import { createHash } from "node:crypto";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");
const manifest = {};

function write(name, bytes) {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 10);
  const dot = name.lastIndexOf(".");
  put(name, `${name.slice(0, dot)}-${hash}${name.slice(dot)}`, bytes);
}

function put(name, file, bytes) {
  manifest[name] = file;
  writeFileSync(join(dist, file), bytes);
  if (/\.(js|css|svg|txt)$/.test(file)) {
    writeFileSync(join(dist, `${file}.gz`), gzipSync(bytes, { level: 9 }));
    writeFileSync(join(dist, `${file}.br`), brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  }
}

// Icons are found by their use, `icon("name")` in templates and code, so the sprite never holds one too many or too few.
function icons() {
  const sources = ["templates", "templates/parts", "src"].flatMap((dir) =>
    readdirSync(join(here, dir), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(here, dir, entry.name), "utf8")),
  );
  const used = new Set(sources.flatMap((text) => [...text.matchAll(/\bicon\("([a-z0-9-]+)"\)/g)].map((m) => m[1])));
  const symbols = [...used].sort().map((name) => {
    const svg = readFileSync(join(here, "node_modules/lucide-static/icons", `${name}.svg`), "utf8");
    const inner = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>")).replace(/\s+/g, " ").trim();
    return `<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">${inner}</symbol>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>`;
}

function licences() {
  return ["htmx.org", "lucide-static", "@fontsource-variable/inter", "@xterm/xterm", "@xterm/addon-fit"]
    .map((name) => `${name}\n\n${readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8").trim()}\n`)
    .join("\n----\n\n");
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
const result = await build({
  absWorkingDir: here,
  entryPoints: { app: "assets/js/app.js", style: "assets/css/style.css", console: "assets/js/console.js" },
  outdir: "dist",
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  publicPath: "/assets",
  bundle: true,
  minify: true,
  write: false,
  format: "iife",
  target: ["chrome123", "firefox128", "safari17.5"],
  loader: { ".woff2": "file" },
  legalComments: "none",
  logLevel: "warning",
});
for (const file of result.outputFiles) {
  const name = basename(file.path);
  put(name.replace(/-[A-Z0-9]{8}(\.\w+)$/, "$1"), name, file.contents);
}
write("icons.svg", Buffer.from(icons()));
write("logo.svg", readFileSync(join(here, "assets/logo.svg")));
write("licences.txt", Buffer.from(licences()));
writeFileSync(join(dist, "manifest.json"), JSON.stringify(manifest, null, 2));
