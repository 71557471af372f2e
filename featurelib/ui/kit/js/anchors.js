// A click on a link of class in-app goes to its address as the Back button would: Streamlit draws the page it names,
// and the session lives on; until it is there, the link shows that it was taken. With a modifier key, or the middle button, it opens in a new tab as any link does.
if (!window.followsInAppLinks) {
  window.followsInAppLinks = true;
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a.in-app") : null;
    const elsewhere = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0;
    if (!link || elsewhere || event.defaultPrevented) return;
    event.preventDefault();
    link.classList.add("taken");
    window.setTimeout(() => link.classList.remove("taken"), 2000);
    window.history.pushState({}, "", link.href);
    window.dispatchEvent(new PopStateEvent("popstate"));
  });
}
