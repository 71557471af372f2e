// The names on a map: of regions, those of the level that fits the zoom, the largest first; and where few points are in
// view, of these. None stands over another. Plotly draws the names of all levels, transparent but for the coarsest; each
// carries its level in the name of its annotation. The names of points stand in an element of class map-names, which is
// sent once, and not with the figure, which is sent in each of its colours; Plotly shows them on hover.
if (!window.namesMaps) {
  window.namesMaps = true;
  const LEVEL_FROM = [0, 1.7, 3.4];
  const NEAR = 60;
  const LONGEST = 34;
  const DOT = 7;
  const apart = 6;

  const zoomOf = (plot) => {
    const { xaxis, yaxis } = plot._fullLayout;
    const [wide, high] = plot.layout.meta.extent;
    const whole = Math.min(xaxis._length / wide, yaxis._length / high);
    return Math.abs(xaxis._length / (xaxis.range[1] - xaxis.range[0])) / whole;
  };

  const overlaps = (a, b) =>
    a.left < b.right + apart && b.left < a.right + apart && a.top < b.bottom && b.top < a.bottom;

  // Show the names of regions; where they stand, as boxes in the window.
  const nameRegions = (plot) => {
    const names = [...plot.querySelectorAll("g.annotation")].map((name) => {
      const annotation = plot.layout.annotations[Number(name.dataset.index)];
      return { name, level: Number(annotation?.name?.slice("level ".length) ?? -1) };
    });
    const finest = Math.max(0, ...names.map(({ level }) => level));
    const zoom = zoomOf(plot);
    const wanted = Math.min(LEVEL_FROM.filter((from) => zoom >= from).length - 1, finest);
    const frame = plot.getBoundingClientRect();
    const shown = [];
    names.forEach(({ name, level }) => {
      const box = name.getBoundingClientRect();
      const inside = box.left >= frame.left && box.right <= frame.right;
      const fits = level === wanted && inside && !shown.some((other) => overlaps(box, other));
      if (fits) shown.push(box);
      name.style.opacity = fits ? 1 : 0;
    });
    return shown;
  };

  // The names by id; a name and what is said below it on hover are parted by a tab.
  const read = new WeakMap();
  const namesOf = () => {
    const element = document.querySelector(".map-names");
    if (element && !read.has(element)) {
      const names = (element.dataset.names ?? "").split("\n").map(decodeURIComponent);
      read.set(element, new Map([...window.maps.ids(element.dataset.ids)].map((id, at) => [id, names[at] ?? ""])));
    }
    return element ? read.get(element) : null;
  };

  // Plotly reads some tags in what it shows, and takes one for a line break.
  const escaped = (words) => words.replaceAll("&", "&amp;").replaceAll("\x3c", "&lt;").replaceAll(">", "&gt;");

  const nameOnHover = (plot, names) => {
    plot._fullData.forEach((trace) => {
      const own = plot.data[trace.index];
      if (!own || !trace.customdata || Array.isArray(trace.hovertext)) return;
      own.hovertext = Array.from(trace.customdata, (id) => escaped(names.get(id) ?? "").replaceAll("\t", "\x3cbr>"));
      own.hovertemplate = `%{hovertext}\x3cbr>${own.hovertemplate}`;
      trace.hovertext = own.hovertext;
      trace.hovertemplate = own.hovertemplate;
      if (!trace._arrayAttrs?.includes("hovertext")) trace._arrayAttrs?.push("hovertext");
    });
  };

  // The points in view, each once; none where they are too many.
  const pointsInView = (plot, names) => {
    const near = new Map();
    for (const trace of plot._fullData) {
      const ids = trace.customdata ?? [];
      for (let at = 0; at < ids.length; at += 1) {
        const place = window.maps.place(plot, trace.x[at], trace.y[at]);
        if (!names.has(ids[at]) || !window.maps.isInside(plot, place)) continue;
        near.set(ids[at], { ...place, name: names.get(ids[at]) });
        if (near.size > NEAR) return [];
      }
    }
    return [...near.values()];
  };

  const short = (name) => {
    const [words] = name.split("\t");
    return words.length <= LONGEST ? words : `${words.slice(0, LONGEST).replace(/(\s+·)?\s+\S*$/u, "")} …`;
  };

  const layerOf = (plot) => {
    const frame = plot.querySelector(".svg-container");
    let layer = frame?.querySelector(":scope > .near-names");
    if (frame && !layer) {
      layer = document.createElement("div");
      layer.className = "near-names";
      frame.append(layer);
    }
    return layer;
  };

  const namePoints = (plot, taken) => {
    const layer = layerOf(plot);
    const names = namesOf();
    layer?.replaceChildren();
    if (!layer || !names) return;
    nameOnHover(plot, names);
    const frame = layer.getBoundingClientRect();
    const shown = taken.map((box) => ({
      left: box.left - frame.left, right: box.right - frame.left, top: box.top - frame.top, bottom: box.bottom - frame.top,
    }));
    const { width, height } = plot._fullLayout;
    for (const point of pointsInView(plot, names)) {
      const name = document.createElement("span");
      name.textContent = short(point.name);
      layer.append(name);
      const { offsetWidth: w, offsetHeight: h } = name;
      const corners = [
        [point.x + DOT, point.y - h / 2],
        [point.x - DOT - w, point.y - h / 2],
        [point.x - w / 2, point.y - DOT - h],
        [point.x - w / 2, point.y + DOT],
      ];
      const box = corners
        .map(([left, top]) => ({ left, top, right: left + w, bottom: top + h }))
        .find((one) => one.left >= 0 && one.right <= width && one.top >= 0 && one.bottom <= height && !shown.some((other) => overlaps(one, other)));
      if (box) {
        shown.push(box);
        name.style.transform = `translate(${box.left.toFixed(1)}px, ${box.top.toFixed(1)}px)`;
      } else {
        name.remove();
      }
    }
  };

  window.maps.each((plot) => namePoints(plot, nameRegions(plot)));
}
