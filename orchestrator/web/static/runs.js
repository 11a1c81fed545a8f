// The table of runs: it follows the record, and keeps place, focus and selection; views are kept in this browser.
(() => {
  "use strict";
  const EVERY = 3000;
  const rows = document.getElementById("rows");
  const get = (store, key) => { try { return JSON.parse(store.getItem(key)) || []; } catch { return []; } };
  const put = (store, key, value) => { try { store.setItem(key, JSON.stringify(value)); } catch { /* until the next page, then */ } };

  // Selection: over pages and refreshes.
  const chosen = new Set(get(sessionStorage, "reprise-chosen"));
  const button = document.querySelector("[data-compare]");
  const forget = document.getElementById("forget");
  function show() {
    for (const box of rows.querySelectorAll("input[name=run]")) {
      box.checked = chosen.has(box.value);
      box.closest("tr").classList.toggle("chosen", box.checked);
    }
    if (!button) return;
    document.getElementById("chosen").textContent = chosen.size ? String(chosen.size) : "";
    button.disabled = chosen.size < 2;
    forget.hidden = !chosen.size;
  }
  function keep() { put(sessionStorage, "reprise-chosen", [...chosen]); show(); }
  rows.addEventListener("change", (event) => {
    if (event.target.name !== "run") return;
    chosen[event.target.checked ? "add" : "delete"](event.target.value);
    keep();
  });
  if (forget) forget.addEventListener("click", () => { chosen.clear(); keep(); });
  const form = document.getElementById("selection");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (chosen.size > 1) location.href = form.action + "?" + new URLSearchParams([...chosen].map((run) => ["run", run]));
  });
  show();

  // What is new: a part of the page, while it is looked at; unchanged, it costs one answer without a body.
  let busy = false;
  async function refresh() {
    if (busy || document.hidden || rows.querySelector("details[open]") || !getSelection().isCollapsed) return;
    busy = true;
    try {
      await htmx.ajax("GET", rows.dataset.live, { target: "#rows", swap: "innerMorph" });
      show();
    } finally { busy = false; }
  }
  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);

  // Completion of the word under the cursor, from the names that the record has.
  const input = document.querySelector("[data-filter]");
  const list = document.getElementById("fields");
  const names = [...list.options].map((option) => option.value);
  input.addEventListener("input", () => {
    const [, before, word] = /^(.*?)([\w.\/]*)$/s.exec(input.value);
    const near = word ? names.filter((name) => name.startsWith(word) && name !== word).slice(0, 20) : [];
    list.replaceChildren(...near.map((name) => { const one = document.createElement("option"); one.value = before + name; return one; }));
  });

  // Named views: saved addresses.
  const KEY = "reprise-views";
  const place = document.getElementById("views");
  const save = document.getElementById("save-view");
  const dialog = document.getElementById("view-name");
  const text = document.getElementById("view-text");
  function views() {
    const saved = get(localStorage, KEY).filter((one) => typeof one.name === "string" && typeof one.query === "string");
    place.replaceChildren(...saved.map((one) => {
      const item = document.createElement("span");
      const link = document.createElement("a");
      const drop = document.createElement("button");
      item.className = "tag";
      link.href = location.pathname + (one.query ? "?" + new URLSearchParams(one.query) : "");
      link.textContent = one.name;
      drop.type = "button";
      drop.textContent = "×";
      drop.setAttribute("aria-label", "Forget the view " + one.name);
      drop.addEventListener("click", () => { put(localStorage, KEY, saved.filter((other) => other.name !== one.name)); views(); });
      item.append(link, " ", drop);
      return item;
    }));
    place.hidden = !saved.length;
  }
  save.hidden = !location.search;
  save.addEventListener("click", () => { text.value = ""; dialog.showModal(); });
  dialog.addEventListener("close", () => {
    const name = text.value.trim();
    if (dialog.returnValue !== "save" || !name) return;
    const query = new URLSearchParams(location.search);
    query.delete("after");
    put(localStorage, KEY, [...get(localStorage, KEY).filter((one) => one.name !== name), { name, query: String(query) }]);
    views();
  });
  views();
})();
