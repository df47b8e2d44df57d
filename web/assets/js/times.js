// Times are written by the server in UTC; the title of each tells the reader's own clock too.

function localize(root) {
  root.querySelectorAll("time[datetime]").forEach((time) => {
    const at = new Date(time.dateTime);
    const utc = `${at.toISOString().slice(0, 16).replace("T", " ")} UTC`;
    if (!Number.isNaN(at.valueOf())) time.title = `${utc} · ${at.toLocaleString()}`;
  });
}

export function times(root) {
  localize(root);
  root.addEventListener("htmx:after:swap", () => localize(root));
}
