// A click on a button of class save-picture saves the map as Plotly's camera does: as it is seen, with the names that are
// shown, the points that stand out and the page's background, in letters that the picture has without the page's fonts.
if (!window.picturesOfMaps) {
  window.picturesOfMaps = true;
  const FONT = "Arial, Helvetica, sans-serif";

  const escaped = (words) => words.replaceAll("&", "&amp;").replaceAll("\x3c", "&lt;").replaceAll(">", "&gt;");

  const regionNames = (plot) =>
    [...plot.querySelectorAll("g.annotation")].filter((name) => name.style.opacity === "1").map((name) => {
      const annotation = plot.layout.annotations[Number(name.dataset.index)];
      return { ...annotation, opacity: 1, font: { ...annotation.font, family: FONT } };
    });

  const pointNames = (plot) => {
    const layer = plot.querySelector(".near-names");
    const frame = layer?.getBoundingClientRect();
    const { width, height, _size: size } = plot._fullLayout;
    return [...(layer?.children ?? [])].map((name) => {
      const box = name.getBoundingClientRect();
      const style = getComputedStyle(name);
      return {
        xref: "paper", yref: "paper", xanchor: "left", yanchor: "middle", showarrow: false, borderpad: 0,
        x: (box.left - frame.left - size.l) / (width - size.l - size.r),
        y: 1 - ((box.top + box.bottom) / 2 - frame.top - size.t) / (height - size.t - size.b),
        text: escaped(name.textContent),
        font: { family: FONT, size: parseFloat(style.fontSize) * 0.96, color: style.color },
      };
    });
  };

  const pickedTraces = (plot) => {
    const { lit, ring, accent, ringed } = plot.picked ?? { lit: [] };
    const trace = (points, marker) => ({ type: "scattergl", mode: "markers", x: points.map(({ x }) => x), y: points.map(({ y }) => y), marker });
    const above = [];
    if (lit.length) above.push(trace(lit, { color: accent, size: 1.4 * lit[0].size }));
    if (ring) above.push(trace([ring], { color: ringed, size: 15, symbol: "circle-open", line: { width: 2.5 } }));
    const faint = (own) => ({
      ...own,
      marker: { ...own.marker, opacity: own.marker.opacity * 0.28 },
      selectedpoints: null,
      selected: undefined,
      unselected: undefined,
    });
    return [...plot.data.map((own) => (lit.length ? faint(own) : own)), ...above];
  };

  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button.save-picture") : null;
    const plot = button && window.maps.first();
    if (!plot) return;
    const { data, layout } = plot;
    // Plotly copies both before it draws the picture
    plot.data = pickedTraces(plot);
    plot.layout = {
      ...layout,
      paper_bgcolor: window.maps.ground(),
      selections: [],
      updatemenus: [],
      annotations: [...regionNames(plot), ...pointNames(plot)],
    };
    plot.querySelector('.modebar-btn[data-attr="undefined"], .modebar-btn:not([data-attr])')?.click();
    plot.data = data;
    plot.layout = layout;
  });
}
