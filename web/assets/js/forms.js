// Forms: a second click does not submit twice; a delete button waits for the typed name. The server checks both again.

function matches(input) {
  const button = input.form?.querySelector("[data-needs-match]");
  if (button) button.disabled = input.value.trim() !== input.dataset.match;
}

export function forms(root) {
  root.querySelectorAll("input[data-match]").forEach(matches);
  root.addEventListener("input", (event) => {
    if (event.target.matches?.("input[data-match]")) matches(event.target);
  });
  root.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    form.querySelector("button[type=submit]")?.setAttribute("aria-busy", "true");
  });
  // Coming back with the browser's back button finds a form that may be sent again.
  window.addEventListener("pageshow", () => {
    root.querySelectorAll("form[data-sent]").forEach((form) => {
      delete form.dataset.sent;
      form.querySelector("[aria-busy]")?.removeAttribute("aria-busy");
    });
    root.querySelectorAll("input[data-match]").forEach(matches);
  });
  // A menu closes when one clicks elsewhere or presses Escape.
  root.addEventListener("click", (event) => {
    root.querySelectorAll("details.menu[open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    root.querySelectorAll("details.menu[open]").forEach((menu) => {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  });
}
