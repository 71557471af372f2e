// The colours of a map: the page names them in an element of class map-colours, and they are given to the points here, so
// that other colours are a few bytes for each point and not a new figure, which would be sent, and begin, anew. Plotly's
// restyle is reached through a button of the figure's own, which the style sheet hides.
if (!window.coloursOfMaps) {
  window.coloursOfMaps = true;
  const GREY_KIND = 255;
  const MOST_TIMES = 20;

  const bytes = (base64) => Uint8Array.from(window.atob(base64), (letter) => letter.charCodeAt(0)).buffer;

  // All points of both traces, ids ascending.
  const pointsOf = (plot) => {
    const all = plot._fullData.flatMap((trace) => Array.from(trace.customdata ?? [], (id, at) => [id, trace.x[at], trace.y[at]]));
    return all.sort((one, other) => one[0] - other[0]);
  };

  // The value of each point, NaN for grey ones.
  const valuesOf = (points, paint) => {
    const given = paint.kinds ? new Uint8Array(bytes(paint.values)) : new Float32Array(bytes(paint.values));
    const values = Float32Array.from(given, (value) => (paint.kinds && value === GREY_KIND ? NaN : value));
    if (!paint.ids) return values;
    const ids = new Int32Array(bytes(paint.ids));
    const of = new Map(Array.from(ids, (id, at) => [id, values[at]]));
    return Float32Array.from(points, ([id]) => of.get(id) ?? NaN);
  };

  const restyled = (points, values, paint, called) => {
    const places = Array.from(points, (_, at) => at);
    const grey = places.filter((at) => Number.isNaN(values[at]));
    const coloured = places.filter((at) => !Number.isNaN(values[at]));
    if (!paint.kinds) coloured.sort((one, other) => values[one] - values[other] || one - other);
    const both = [grey, coloured];
    const column = (number) => both.map((some) => Float32Array.from(some, (at) => points[at][number]));
    const args = {
      x: column(1),
      y: column(2),
      customdata: both.map((some) => Int32Array.from(some, (at) => points[at][0])),
      meta: [null, called],
      hovertext: [null, null],
      hovertemplate: paint.templates,
      selectedpoints: [null, null],
      "marker.color": [paint.grey.color, Float32Array.from(coloured, (at) => values[at])],
      "selected.marker.opacity": [paint.grey.opacity, paint.marker.opacity],
      "unselected.marker.opacity": [paint.grey.opacity, paint.marker.opacity],
    };
    for (const name of ["size", "opacity", "colorscale", "cmin", "cmax", "showscale", "colorbar"]) {
      args[`marker.${name}`] = [paint.grey[name] ?? null, paint.marker[name] ?? null];
    }
    return args;
  };

  window.maps.each((plot) => {
    const element = document.querySelector(".map-colours");
    const button = plot.querySelector(".updatemenu-button");
    const asked = plot._fullLayout.updatemenus?.[0]?.buttons?.[0];
    if (!element || !button || !asked || plot.data[1]?.meta === element.dataset.called) return;
    const called = element.dataset.called;
    if (plot.paintedAs !== called) [plot.paintedAs, plot.timesPainted] = [called, 0];
    // Streamlit may draw the figure as it was once more, with the colours that it had
    if ((plot.timesPainted += 1) > MOST_TIMES) return;
    const paint = JSON.parse(decodeURIComponent(element.dataset.paint));
    const points = pointsOf(plot);
    asked.args = [restyled(points, valuesOf(points, paint), paint, called)];
    button.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    asked.args = [{}];
  });
}
