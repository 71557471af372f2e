// On the page of a feature or a text the keys ← and → go to its neighbours, and a click on "copy link" copies the address
// of the page. Keys that something else on the page wants, such as a field or a row of choices, are left to it.
if (!window.movesBetween) {
  window.movesBetween = true;
  const taken = "input, textarea, select, [contenteditable=true], [role=radiogroup], [role=tablist], [role=slider], [data-testid=stButtonGroup], .js-plotly-plot";

  document.addEventListener("keydown", (event) => {
    const sign = { ArrowLeft: "‹", ArrowRight: "›" }[event.key];
    const elsewhere = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.defaultPrevented;
    if (!sign || elsewhere || (event.target instanceof Element && event.target.closest(taken))) return;
    const ways = [...document.querySelectorAll(".moves a.in-app")];
    const way = ways.find((link) => link.textContent.includes(sign));
    if (way) way.click();
  });

  // Browsers give the clipboard to pages of https and localhost only; elsewhere a selected field is copied.
  const copy = async (text) => {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  };

  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a.copy-link") : null;
    if (!link || event.metaKey || event.ctrlKey || event.button !== 0) return;
    event.preventDefault();
    const words = link.textContent;
    copy(link.href).then(() => {
      link.textContent = "copied";
      window.setTimeout(() => {
        link.textContent = words;
      }, 1500);
    });
  });
}
