// The keyboard: / j k x c ? on rows marked `data-row`. Everything that a key does, a link or a button does, too.
(() => {
  "use strict";
  const all = () => [...document.querySelectorAll("[data-row]")];
  const dialog = document.getElementById("keys");
  const opener = document.getElementById("keys-open");
  if (opener && dialog) {
    opener.hidden = false;
    opener.addEventListener("click", () => dialog.showModal());
  }
  const here = () => document.activeElement && document.activeElement.closest("[data-row]");
  function step(by) {
    const rows = all();
    if (!rows.length) return;
    const at = rows.indexOf(here());
    const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
    const goal = next.querySelector("a") || next;
    goal.focus();
    next.scrollIntoView({ block: "nearest" });
  }
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const row = here();
    switch (event.key) {
      case "/": { const field = document.querySelector("[data-filter]"); if (!field) return; field.focus(); break; }
      case "j": step(1); break;
      case "k": step(-1); break;
      case "x": { const box = row && row.querySelector("input[type=checkbox]"); if (!box) return; box.click(); break; }
      case "c": { const button = document.querySelector("[data-compare]"); if (!button || button.disabled) return; button.click(); break; }
      case "?": dialog.showModal(); break;
      default: return;
    }
    event.preventDefault();
  });
})();
