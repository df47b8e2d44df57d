// Copy buttons: <button class="copy" data-copy="text">. The clipboard API exists on secure origins only; a Berth on
// plain HTTP in a lab falls back to a selection.

async function put(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "sr";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser refused to copy");
}

export function copyButtons(root) {
  root.addEventListener("click", async (event) => {
    const button = event.target.closest?.(".copy");
    if (!button) return;
    const label = button.dataset.label ?? (button.dataset.label = button.getAttribute("aria-label"));
    try {
      await put(button.dataset.copy);
      button.classList.add("done");
      button.setAttribute("aria-label", "Copied");
    } catch {
      button.setAttribute("aria-label", "Could not copy");
    }
    setTimeout(() => {
      button.classList.remove("done");
      button.setAttribute("aria-label", label);
    }, 1600);
  });
}
