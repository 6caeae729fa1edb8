"use strict";
// What a page can do without, and is nicer with: copying, one key to the search field, no form sent twice.

for (const button of document.querySelectorAll("button.copy")) {
  if (!navigator.clipboard) break; // plain http, other than on this machine
  button.hidden = false;
  button.addEventListener("click", async () => {
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(button.closest(".snippet").querySelector("code").textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  });
}

document.addEventListener("keydown", (event) => {
  const field = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!field || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  event.preventDefault();
  field.focus();
});

for (const form of document.querySelectorAll('form[method="post"]:not([data-download])')) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
