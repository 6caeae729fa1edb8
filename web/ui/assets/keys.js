"use strict";
// Pages by keyboard: rows of a list, places to go, what a page names a key for; and a list that refreshes keeps its row.
// A field that is typed into has every key to itself, and so have the keys of the browser.

(() => {
  const PLACES = { r: ["Reviews", "/reviews"], m: ["Models", "/models"], e: ["Experiments", "/experiments"], p: ["Policies", "/policies"], a: ["Audit", "/audit"] };
  const rows = () => [...document.querySelectorAll(".keyed a.row-link, .keyed tbody th a, .keyed h2 a, .keyed h3 a")];
  const place = (path) => document.querySelector(`header.top a[href="${path}"]`);
  let going = -Infinity; // when `g` was pressed
  let help;

  function move(by) {
    const all = rows();
    if (!all.length) return;
    const row = document.activeElement.closest(".keyed li, .keyed tbody tr");
    const here = all.findIndex((link) => link === document.activeElement || (row && row.contains(link)));
    const next = all[here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + by, 0), all.length - 1)];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  function open() {
    const link = document.activeElement.closest(".keyed a") || document.activeElement.closest(".keyed li, .keyed tbody tr")?.querySelector("a");
    if (link) link.click();
  }

  function jump(key) {
    const there = document.querySelector(`[data-jump="${CSS.escape(key)}"]`);
    if (!there) return false;
    if (there.tagName === "DETAILS") there.open = true;
    const field = there.matches("input, textarea, select") ? there : there.querySelector("textarea, input:not([type=hidden])") || there.querySelector("summary") || there;
    field.focus();
    field.scrollIntoView({ block: "nearest" });
    return true;
  }

  function told() {
    const lines = [];
    if (rows().length) lines.push(["j, k", "next and previous row"], ["Enter, o", "open the row"]);
    for (const there of document.querySelectorAll("[data-jump]")) lines.push([there.dataset.jump, there.dataset.jumps || "go to the field"]);
    if (document.querySelector('[data-key="/"]')) lines.push(["/", "search"]);
    for (const [key, [name, path]] of Object.entries(PLACES)) if (place(path)) lines.push([`g ${key}`, name]);
    lines.push(["?", "this help"], ["Escape", "close it"]);
    return lines;
  }

  function show() {
    help?.remove();
    help = document.createElement("dialog");
    help.className = "keys";
    help.setAttribute("aria-labelledby", "keys-title");
    const title = document.createElement("h2");
    title.id = "keys-title";
    title.textContent = "Keys on this page";
    const list = document.createElement("dl");
    for (const [keys, what] of told()) {
      const row = document.createElement("div");
      const dt = document.createElement("dt");
      for (const key of keys.split(" ")) { const kbd = document.createElement("kbd"); kbd.textContent = key.replace(",", ""); dt.append(kbd, " "); }
      const dd = document.createElement("dd");
      dd.textContent = what;
      row.append(dt, dd);
      list.append(row);
    }
    const form = document.createElement("form");
    form.method = "dialog";
    const close = document.createElement("button");
    close.textContent = "Close";
    close.autofocus = true;
    form.append(close);
    help.append(title, list, form);
    document.body.append(help);
    help.showModal();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (event.target.closest("input, textarea, select, [contenteditable], dialog")) return;
    const went = performance.now() - going < 1500;
    going = -Infinity;
    if (went && PLACES[event.key]) {
      const link = place(PLACES[event.key][1]);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    if (event.key === "g") { going = performance.now(); return; }
    if (event.key === "?") { event.preventDefault(); show(); return; }
    if (event.key === "j" || event.key === "k") { if (rows().length) { event.preventDefault(); move(event.key === "j" ? 1 : -1); } return; }
    if (event.key === "o") { open(); return; }
    if (jump(event.key)) event.preventDefault();
  });

  // A list that refreshes itself: the focus stays on its row, or where that was; what is new is said, not shown off.
  let before;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const list = event.detail.target?.closest("[data-refreshes]");
    if (!list) return;
    const links = rows();
    before = { ids: new Set(links.map((link) => link.id)), at: links.indexOf(document.activeElement), byItself: event.detail.requestConfig?.elt === list };
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (!before) return;
    const { ids, at, byItself } = before;
    before = undefined;
    const links = rows();
    if (at >= 0 && document.activeElement === document.body && links.length) links[Math.min(at, links.length - 1)].focus({ preventScroll: true });
    const fresh = links.filter((link) => link.id && !ids.has(link.id));
    const live = document.getElementById("news");
    if (live && byItself && fresh.length) live.textContent = fresh.length === 1 ? `New in the list: ${fresh[0].textContent.trim().replace(/\s+/g, " ")}` : `${fresh.length} new in the list`;
  });

  // What somebody typed and did not send is there again when he comes back to the page, in this tab alone. What he sent
  // is kept until a page says that it was done: a session that had ended, or a server that is away, takes no words.
  const drafts = document.querySelectorAll("textarea[data-draft]");
  const done = document.querySelector("#main > .notice.success");
  for (const field of drafts) {
    const name = `draft:${location.pathname}:${field.dataset.draft}`;
    try {
      if (done && sessionStorage.getItem(`${name}:sent`)) sessionStorage.removeItem(name);
      sessionStorage.removeItem(`${name}:sent`);
      const kept = sessionStorage.getItem(name);
      if (kept && !field.value) { field.value = kept; const fold = field.closest("details"); if (fold) fold.open = true; }
      field.addEventListener("input", () => { if (field.value) sessionStorage.setItem(name, field.value); else sessionStorage.removeItem(name); });
      field.form.addEventListener("submit", () => sessionStorage.setItem(`${name}:sent`, "yes"));
    } catch { break; } // the browser keeps nothing
  }
  // Whoever signs in next at this tab is somebody else.
  document.querySelector('form[action="/sign-out"]')?.addEventListener("submit", () => {
    try { for (const name of Object.keys(sessionStorage)) if (name.startsWith("draft:")) sessionStorage.removeItem(name); } catch { /* it keeps nothing */ }
  });
})();
