// The names of regions on a map: those of the level that fits the zoom, the largest first, none over another. Plotly
// draws the names of all levels, transparent but for the coarsest; each carries its level in the name of its annotation.
if (!window.namesRegions) {
  window.namesRegions = true;
  const LEVEL_FROM = [0, 1.7, 3.4];
  const apart = 6;

  const zoomOf = (plot) => {
    const { xaxis, yaxis } = plot._fullLayout;
    const [wide, high] = plot.layout.meta.extent;
    const whole = Math.min(xaxis._length / wide, yaxis._length / high);
    return Math.abs(xaxis._length / (xaxis.range[1] - xaxis.range[0])) / whole;
  };

  const overlaps = (a, b) =>
    a.left < b.right + apart && b.left < a.right + apart && a.top < b.bottom && b.top < a.bottom;

  const show = (plot) => {
    const zoom = zoomOf(plot);
    const level = LEVEL_FROM.filter((from) => zoom >= from).length - 1;
    const frame = plot.getBoundingClientRect();
    const shown = [];
    plot.querySelectorAll("g.annotation").forEach((name) => {
      const annotation = plot.layout.annotations[Number(name.dataset.index)];
      const box = name.getBoundingClientRect();
      const inside = box.left >= frame.left && box.right <= frame.right;
      const fits = annotation && annotation.name === `level ${level}` && inside && !shown.some((other) => overlaps(box, other));
      if (fits) shown.push(box);
      name.style.opacity = fits ? 1 : 0;
    });
  };

  const watch = (plot) => {
    if (!plot.layout || !plot.layout.meta || !plot.layout.meta.extent || !plot._fullLayout) return;
    if (!plot.namesRegions) {
      plot.namesRegions = true;
      plot.on("plotly_afterplot", () => show(plot));
      plot.on("plotly_relayouting", () => show(plot));
    }
    show(plot);
  };

  const watchAll = () => document.querySelectorAll(".js-plotly-plot").forEach(watch);
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    window.setTimeout(() => {
      waiting = false;
      watchAll();
    }, 120);
  }).observe(document.body, { childList: true, subtree: true });
  watchAll();
}
