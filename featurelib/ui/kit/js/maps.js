// What all parts about maps share: they are told of each map when it is drawn, moved or zoomed, and when the page changes.
// No tag is written out in these scripts, as Streamlit would take it for HTML.
if (!window.maps) {
  const shows = [];
  const isMap = (plot) => Boolean(plot._fullLayout && plot.layout && plot.layout.meta && plot.layout.meta.extent);
  const show = (plot) => isMap(plot) && shows.forEach((part) => part(plot));

  const watch = (plot) => {
    if (!isMap(plot)) return;
    if (!plot.isWatched) {
      plot.isWatched = true;
      plot.on("plotly_afterplot", () => show(plot));
      plot.on("plotly_relayouting", () => show(plot));
    }
    show(plot);
  };

  const watchAll = () => document.querySelectorAll(".js-plotly-plot").forEach(watch);
  const isOwn = (change) => change.target instanceof Element && change.target.closest(".near-names");
  let waiting = false;
  new MutationObserver((changes) => {
    if (waiting || changes.every(isOwn)) return;
    waiting = true;
    window.setTimeout(() => {
      waiting = false;
      watchAll();
    }, 40);
  }).observe(document.body, { childList: true, subtree: true });

  window.maps = {
    // Call `part` with each map now and whenever something of it or of the page has changed.
    each: (part) => {
      shows.push(part);
      watchAll();
    },
    first: () => [...document.querySelectorAll(".js-plotly-plot")].find(isMap),
    // The colour behind the map.
    ground: () => getComputedStyle(document.querySelector(".stApp") ?? document.body).backgroundColor,
    // The ids that id_list.py wrote: distances in base 36.
    ids: (written) => {
      let last = 0;
      return new Set((written || "").split(".").filter(Boolean).map((distance) => (last += parseInt(distance, 36))));
    },
    // Where a place of the map stands in the plot, in pixels.
    place: (plot, x, y) => {
      const { xaxis, yaxis } = plot._fullLayout;
      return {
        x: xaxis._offset + ((x - xaxis.range[0]) / (xaxis.range[1] - xaxis.range[0])) * xaxis._length,
        y: yaxis._offset + (1 - (y - yaxis.range[0]) / (yaxis.range[1] - yaxis.range[0])) * yaxis._length,
      };
    },
    isInside: (plot, { x, y }) => {
      const { xaxis, yaxis } = plot._fullLayout;
      return x >= xaxis._offset && x <= xaxis._offset + xaxis._length && y >= yaxis._offset && y <= yaxis._offset + yaxis._length;
    },
  };
}
