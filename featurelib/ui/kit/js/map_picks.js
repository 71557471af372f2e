// What stands out on a map: the page names the points in an element of class map-picks, and they are drawn here over the
// others, so that the figure stays the same and is neither sent nor drawn anew at a click, a lasso or a search. The same
// element says what dragging does. A figure in other colours is a new one to Streamlit: it begins where the old one was.
// Plotly is reached through the buttons of its toolbar, which the style sheet hides.
if (!window.picksOnMaps) {
  window.picksOnMaps = true;
  const FADED = 0.66;
  const views = new Map();

  const press = (plot, button) => plot.querySelector(`.modebar-btn[data-attr="${button.attr}"][data-val="${button.val}"]`)?.click();

  const wanted = () => {
    const element = document.querySelector(".map-picks");
    if (!element) return null;
    const { ring, lit, drag, accent, ringed } = element.dataset;
    return { ring: ring === undefined ? null : Number(ring), lit: window.maps.ids(lit), drag, accent, ringed };
  };

  const canvasOf = (plot) => {
    const frame = plot.querySelector(".svg-container");
    let canvas = frame?.querySelector(":scope > .map-picked");
    if (frame && !canvas) {
      canvas = document.createElement("canvas");
      canvas.className = "map-picked";
      frame.insertBefore(canvas, frame.querySelector(":scope > .gl-container")?.nextSibling ?? null);
    }
    return canvas;
  };

  // The places and sizes of the points that are named by the page, in one array each for the lit ones and the ring.
  const picked = (plot, picks) => {
    const found = { lit: [], ring: null };
    if (!picks.lit.size && picks.ring === null) return found;
    for (const trace of plot._fullData) {
      const ids = trace.customdata;
      for (let at = 0; ids && at < ids.length; at += 1) {
        const isLit = picks.lit.has(ids[at]);
        if (!isLit && ids[at] !== picks.ring) continue;
        const point = { x: trace.x[at], y: trace.y[at], size: trace.marker.size };
        if (isLit) found.lit.push(point);
        if (ids[at] === picks.ring) found.ring = point;
      }
    }
    return found;
  };

  const dot = (pen, { x, y }, radius) => {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
  };

  const drawPicks = (plot) => {
    const canvas = canvasOf(plot);
    const picks = wanted();
    if (!canvas || !picks) return;
    const { width, height } = plot._fullLayout;
    const scale = window.devicePixelRatio || 1;
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const found = picked(plot, picks);
    plot.picked = { ...picks, ...found };
    const { xaxis, yaxis } = plot._fullLayout;
    pen.rect(xaxis._offset, yaxis._offset, xaxis._length, yaxis._length);
    pen.clip();
    if (picks.lit.size) {
      pen.globalAlpha = FADED;
      pen.fillStyle = window.maps.ground();
      pen.fillRect(0, 0, width, height);
      pen.globalAlpha = 1;
      pen.fillStyle = picks.accent;
      found.lit.forEach((point) => {
        dot(pen, window.maps.place(plot, point.x, point.y), 0.7 * point.size);
        pen.fill();
      });
    }
    drawRing(plot, found.ring, picks.ringed);
  };

  // The ring lies above the names.
  const drawRing = (plot, point, colour) => {
    const frame = plot.querySelector(".svg-container");
    let ring = frame.querySelector(":scope > .map-ring");
    if (!ring) {
      ring = document.createElement("div");
      ring.className = "map-ring";
      frame.append(ring);
    }
    const place = point && window.maps.place(plot, point.x, point.y);
    ring.hidden = !place || !window.maps.isInside(plot, place);
    if (ring.hidden) return;
    ring.style.borderColor = colour;
    ring.style.transform = `translate(${place.x.toFixed(1)}px, ${place.y.toFixed(1)}px)`;
  };

  const axes = (plot) => [plot._fullLayout.xaxis, plot._fullLayout.yaxis];

  // Plotly's button "reset axes" goes to where the axes began, so a new figure is told that it began there.
  const goTo = (plot, view) => {
    const began = axes(plot).map((axis) => [axis._rangeInitial0, axis._rangeInitial1]);
    axes(plot).forEach((axis, at) => ([axis._rangeInitial0, axis._rangeInitial1] = view[at]));
    press(plot, { attr: "zoom", val: "reset" });
    axes(plot).forEach((axis, at) => ([axis._rangeInitial0, axis._rangeInitial1] = began[at]));
  };

  const keepView = (plot) => {
    const name = plot.layout.uirevision;
    if (!plot.isPlaced) {
      plot.isPlaced = true;
      if (views.has(name)) goTo(plot, views.get(name));
      return;
    }
    if (axes(plot).every((axis) => axis.autorange)) views.delete(name);
    else views.set(name, axes(plot).map((axis) => [...axis.range]));
  };

  const keepDrag = (plot) => {
    const picks = wanted();
    if (picks?.drag && plot._fullLayout.dragmode !== picks.drag && plot.dragAsked !== picks.drag) {
      plot.dragAsked = picks.drag;
      press(plot, { attr: "dragmode", val: picks.drag });
    }
    if (plot._fullLayout.dragmode === plot.dragAsked) plot.dragAsked = null;
  };

  // A point that was picked in a list further down is shown beside the map: there the reader is taken.
  let lastRing;
  const showPicked = () => {
    const ring = wanted()?.ring ?? null;
    const panel = document.querySelector(".st-key-beside-map");
    if (ring !== null && lastRing !== undefined && ring !== lastRing && panel && panel.getBoundingClientRect().top < 0) {
      panel.scrollIntoView({ block: "start", behavior: "smooth" });
    }
    lastRing = ring;
  };

  window.maps.each((plot) => {
    drawPicks(plot);
    showPicked();
    if (!document.querySelector(".map-picks")) return;
    keepView(plot);
    keepDrag(plot);
  });
}
