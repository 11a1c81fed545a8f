// Before anything is painted: the theme that this reader chose. Without a choice the system's counts.
(() => {
  "use strict";
  const root = document.documentElement;
  let chosen = null;
  try { chosen = localStorage.getItem("reprise-theme"); } catch { chosen = null; }
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  // A canvas knows no classes: the colour that a class of the style sheet has in the theme of now.
  window.repriseColour = (name) => {
    const probe = document.createElement("span");
    probe.className = name;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const dark = () => root.dataset.theme
      ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const say = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", (dark() ? "Light" : "Dark") + " theme"); };
    button.hidden = false;
    say();
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("reprise-theme", root.dataset.theme); } catch { /* only for this page, then */ }
      say();
      dispatchEvent(new Event("reprise:theme"));
    });
  });
})();
