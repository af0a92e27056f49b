// The page around the map: the theme, copy buttons, printing.

/** Sets the theme; without one, that of the system. */
function setTheme(name) {
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = name || (dark ? "dark" : "light");
  const button = byId("theme");
  if (!button) return;
  const other = themeName() === "dark" ? "light" : "dark";
  button.textContent = other === "dark" ? "dark" : "light";
  button.setAttribute("aria-label", `switch to the ${other} theme`);
}

/** Listens to the theme's button and to the system. */
function watchTheme(app) {
  let chosen = false;
  const button = byId("theme");
  if (button) {
    button.addEventListener("click", () => {
      chosen = true;
      setTheme(themeName() === "dark" ? "light" : "dark");
      app.redraw();
    });
  }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (chosen) return;
    setTheme(null);
    app.redraw();
  });
}

/** Copies a text and says so on the button for a moment. */
async function copyText(text, button) {
  const done = (await writeClipboard(text)) ? "copied" : "press Ctrl+C";
  if (!button.dataset.label) button.dataset.label = button.textContent;
  button.textContent = done;
  window.setTimeout(() => {
    button.textContent = button.dataset.label;
  }, 1500);
}

/** Writes to the clipboard, by a selection where a file may not. @returns {Promise<boolean>} */
async function writeClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { class: "off", readonly: true, "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** Buttons of the page's own sections: `data-copy` names the element whose text they copy. */
function watchCopies() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest ? event.target.closest("[data-copy]") : null;
    if (!button) return;
    const source = document.querySelector(button.dataset.copy);
    if (source) copyText(source.textContent, button);
  });
}

const PAPER_WIDTH = 700;

/** Draws in light and as wide as paper while printing. */
function watchPrinting(app) {
  let before = null;
  window.addEventListener("beforeprint", () => {
    before = themeName();
    document.documentElement.dataset.theme = "light";
    app.paperWidth = PAPER_WIDTH;
    app.redraw();
  });
  window.addEventListener("afterprint", () => {
    if (before) document.documentElement.dataset.theme = before;
    app.paperWidth = null;
    app.redraw();
  });
}
