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

  // A part of the page that would look at itself again, for somebody whose session has ended: said once, nothing is lost.
  document.addEventListener("signed-out", () => {
    if (document.getElementById("signed-out")) return;
    const told = document.createElement("p");
    told.id = "signed-out";
    told.className = "notice warn";
    told.setAttribute("role", "alert");
    const again = document.createElement("a");
    again.href = location.href;
    again.textContent = "Sign in again";
    told.append("You are signed out, and this page stays as it was. ", again, ".");
    document.getElementById("main").prepend(told);
  });

  // What somebody typed and did not send is there again when he comes back to the page, in this tab alone. What was sent
  // is forgotten when a page comes of it: from the sign-in or an error that came instead, he comes back as well.
  try {
    const instead = document.querySelector("main.alone");
    for (const mark of Object.keys(sessionStorage).filter((name) => name.startsWith("sent:"))) {
      if (!instead) sessionStorage.removeItem(mark.replace("sent:", "draft:"));
      sessionStorage.removeItem(mark);
    }
    const who = document.querySelector("header.top summary bdi")?.textContent;
    for (const field of document.querySelectorAll("textarea[data-draft]")) {
      const name = `${who}:${location.pathname}:${field.dataset.draft}`;
      const kept = sessionStorage.getItem(`draft:${name}`);
      if (kept && !field.value) { field.value = kept; const fold = field.closest("details"); if (fold) fold.open = true; }
      field.addEventListener("input", () => { if (field.value) sessionStorage.setItem(`draft:${name}`, field.value); else sessionStorage.removeItem(`draft:${name}`); });
      field.form.addEventListener("submit", () => sessionStorage.setItem(`sent:${name}`, "yes"));
    }
  } catch { /* the browser keeps nothing */ }
})();
