// Zoom, cursor and log scale over curves that are complete without this script.
(() => {
  "use strict";
  document.documentElement.classList.add("live");
  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details")) part.open = true;
  });
  const box = document.querySelector(".chart");
  if (!box) return;
  const data = JSON.parse(document.getElementById("curves").textContent);
  const svg = box.querySelector("svg");
  const panels = [...svg.querySelectorAll(".panel")];
  const values = document.querySelector(".values");
  const space = "http://www.w3.org/2000/svg";
  const { left, right, width, top, bottom } = data.frame;
  let [first, last] = data.span;
  let logged = false;
  let held = null;
  let at = null;

  const x = (step) => left + ((step - first) / Math.max(1, last - first)) * (width - left - right);
  const step = (unit) => first + ((unit - left) / (width - left - right)) * (last - first);
  const make = (name, kind, parent) => {
    const made = document.createElementNS(space, name);
    made.setAttribute("class", kind);
    parent.append(made);
    return made;
  };
  const cursors = panels.map((panel, i) => {
    const line = make("line", "cursor", panel);
    line.setAttribute("y1", top);
    line.setAttribute("y2", data.panels[i].height - bottom);
    line.style.display = "none";
    return line;
  });
  const zooming = make("rect", "zoom", svg);
  zooming.style.display = "none";

  const inside = (points) => points.filter(([s]) => s >= first && s <= last);

  function round(low, high) {
    const size = (high - low) / 5 || 1;
    const power = 10 ** Math.floor(Math.log10(size));
    const gap = [1, 2, 5, 10].map((f) => f * power).find((g) => g >= size);
    const found = [];
    for (let n = Math.ceil(low / gap); n * gap <= high; n++) found.push(n * gap);
    return found;
  }

  // As report/axis.py does: what is flat looks flat.
  function widened(low, high, [share, least]) {
    if (!low && !high) return [0, 1];
    const missing = Math.max(share * Math.max(Math.abs(low), Math.abs(high)), least) - (high - low);
    if (missing <= 0) return [low, high];
    const bottom = low - missing / 2, top = high + missing / 2;
    return bottom < 0 && low > 0 ? [0, top - bottom] : [bottom, top];
  }

  function redraw() {
    data.panels.forEach((panel, i) => {
      const shown = Object.entries(panel.series).map(([key, points]) => [key, inside(points)]);
      const all = shown.flatMap(([, points]) => points.map(([, v]) => v));
      if (!all.length) return;
      let low = Math.min(...all), high = Math.max(...all);
      const log = (logged || panel.log) && !panel.linear && low > 0;
      [low, high] = log ? [low, Math.max(high, low * (1 + panel.least[0]))] : widened(low, high, panel.least);
      const f = log && low > 0 ? Math.log10 : (v) => v;
      const tall = panel.height - top - bottom;
      const y = (v) => top + (1 - (f(v) - f(low)) / (f(high) - f(low))) * tall;
      const group = panels[i];
      for (const old of group.querySelectorAll(".grid, .tick, .dot")) old.remove();
      const marks = log ? [low, Math.sqrt(low * high), high] : round(low, high);
      for (const value of marks) {
        const grid = make("line", "grid", group);
        for (const [k, v] of [["x1", left], ["x2", width - right], ["y1", y(value)], ["y2", y(value)]]) grid.setAttribute(k, v);
        label(group, left - 6, y(value) + 4, "end", Number(value.toPrecision(3)).toString());
      }
      if (i === panels.length - 1)
        for (const s of round(first, last)) label(group, x(s), panel.height - bottom + 16, "middle", Math.round(s).toLocaleString());
      const place = ([s, v]) => `${x(s).toFixed(1)} ${y(v).toFixed(1)}`;
      const line = (points) => points.map(place).join("L");
      // As report/svg.py does: no line leads over a gap, and a point between two is a dot.
      const joined = (points, gaps = []) => {
        let passed = 0, before = null, alone = false, path = "";
        for (const point of points) {
          const behind = passed;
          while (passed < gaps.length && gaps[passed] < point[0]) passed++;
          const first = before === null || passed > behind;
          if (first && alone) path += "L" + place(before);
          path += (first ? "M" : "L") + place(point);
          alone = first;
          before = point;
        }
        return alone ? path + "L" + place(before) : path;
      };
      const drawn = (kind, key) => [...group.querySelectorAll(kind)].find((p) => p.dataset.series === key);
      for (const [key, points] of shown) {
        drawn(".series", key).setAttribute("d", joined(points, panel.gaps[key]));
        const factor = panel.bands[key];
        if (!factor) continue;
        const edge = (by) => points.map(([s, v]) => [s, Math.min(high, Math.max(low, v * by))]);
        const around = [...edge(factor), ...edge(1 / factor).reverse()];
        drawn(".band", key).setAttribute("d", points.length ? `M${line(around)}Z` : "");
      }
      group.querySelectorAll(".mark").forEach((line, n) => {
        const s = data.marks[n];
        line.style.display = s < first || s > last ? "none" : "";
        line.setAttribute("x1", x(s));
        line.setAttribute("x2", x(s));
      });
    });
    for (const name of svg.querySelectorAll(".name")) {
      const s = data.marks[name.dataset.mark];
      name.style.display = s < first || s > last ? "none" : "";
      name.setAttribute("x", x(s));
      name.setAttribute("text-anchor", x(s) + 9 * name.textContent.length > width - right ? "end" : "start");
    }
    point(at);
  }

  function label(group, left_, top_, anchor, text) {
    const made = make("text", "tick", group);
    made.setAttribute("x", left_);
    made.setAttribute("y", top_);
    made.setAttribute("text-anchor", anchor);
    made.textContent = text;
  }

  function nearest(points, wanted) {
    let low = 0, high = points.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < wanted) low = middle + 1; else high = middle;
    }
    if (low && wanted - points[low - 1][0] < points[low][0] - wanted) low--;
    return points[low];
  }

  function point(wanted) {
    at = wanted;
    for (const line of cursors) line.style.display = wanted === null ? "none" : "";
    if (wanted === null) { values.textContent = ""; return; }
    const told = [];
    let shown = null;
    for (const panel of data.panels)
      for (const [key, points] of Object.entries(panel.series)) {
        const found = points.length && nearest(points, wanted);
        if (!found) continue;
        shown ??= found[0];
        // Where runs are overlaid, the series are runs and the panel says of what.
        const name = data.overlaid ? `${panel.name} ${key}` : key;
        told.push(`${name} ${Number(found[1].toPrecision(4))}`);
      }
    shown ??= wanted;
    values.textContent = `${data.words.step} ${shown.toLocaleString()}: ${told.join(", ")}`;
    for (const line of cursors) { line.setAttribute("x1", x(shown)); line.setAttribute("x2", x(shown)); }
  }

  const unit = (event) => {
    const place = svg.getBoundingClientRect();
    return Math.min(width - right, Math.max(left, ((event.clientX - place.left) / place.width) * width));
  };
  svg.addEventListener("pointermove", (event) => {
    const here = unit(event);
    point(step(here));
    if (held === null) return;
    zooming.style.display = "";
    for (const [k, v] of [["x", Math.min(held, here)], ["width", Math.abs(here - held)], ["y", 0], ["height", svg.viewBox.baseVal.height]])
      zooming.setAttribute(k, v);
  });
  svg.addEventListener("pointerleave", () => point(null));
  svg.addEventListener("pointerdown", (event) => { held = unit(event); svg.setPointerCapture(event.pointerId); });
  svg.addEventListener("pointerup", (event) => {
    const here = unit(event);
    if (held !== null && Math.abs(here - held) > 8) {
      [first, last] = [step(Math.min(held, here)), step(Math.max(held, here))];
      redraw();
    }
    held = null;
    zooming.style.display = "none";
  });
  // A finger that scrolls zooms nothing.
  svg.addEventListener("pointercancel", () => { held = null; zooming.style.display = "none"; });
  const whole = () => { [first, last] = data.span; redraw(); };
  svg.addEventListener("dblclick", whole);
  document.getElementById("reset").addEventListener("click", whole);
  document.getElementById("log").addEventListener("click", (event) => {
    logged = !logged;
    event.currentTarget.setAttribute("aria-pressed", String(logged));
    redraw();
  });
  box.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const gap = (last - first) / 100;
    point(Math.min(last, Math.max(first, (at ?? first) + way * gap)));
  });
})();
