// Wick by graph, the drawings: pigmmExplore.wickDrawing draws graphs, pairs their edges and merges their nodes.
(() => {
  "use strict";
  const ex = pigmmExplore, { svg } = ex, { edgesOf } = ex.wick;
  const LETTERS = "abcdefgh";

  // ---- drawings: curves are [start, control, control, end], heads sit at a share of the way

  const UNIT = 92, LOOP = 74;
  const wide = (angles) => {
    if (!angles.length) return [2 * Math.PI, -Math.PI / 2];
    const turn = angles.map((a) => ((a % (2 * Math.PI)) + 2 * Math.PI) % (2 * Math.PI)).sort((a, b) => a - b);
    const gaps = turn.map((a, n) => [(turn[n + 1] ?? turn[0] + 2 * Math.PI) - a, a]).map(([gap, a]) => [gap, a + gap / 2]);
    const high = (g) => Math.round(g[0] * 1e3) * 10 - Math.round(Math.sin(g[1]) * 4);
    return gaps.reduce((best, gap) => (high(gap) > high(best) ? gap : best));
  };

  /** Where the nodes of a graph stand before anything merges: components side by side, in two columns from three on. */
  function places(name) {
    const components = name.split("+"), columns = components.length > 2 ? 2 : components.length;
    const at = [];
    let top = 0;
    for (let row = 0; row < components.length; row += columns) {
      let left = 0, bottom = top;
      for (const component of components.slice(row, row + columns)) {
        const own = ex.data.wick.places[component].map(([x, y]) => [x * UNIT, y * UNIT]);
        const [xs, ys] = [0, 1].map((k) => own.map((p) => p[k]));
        const shift = left - Math.min(...xs), down = top - Math.min(...ys);
        at.push(...own.map(([x, y]) => [x + shift, y + down]));
        left += Math.max(...xs) - Math.min(...xs) + 1.15 * UNIT;
        bottom = Math.max(bottom, top + Math.max(...ys) - Math.min(...ys));
      }
      top = bottom + 1.15 * UNIT;
    }
    return at;
  }

  /** Nodes that are one meet in their middle; what is too near to others then moves away. */
  function met(at, labels) {
    const classes = [...new Set(labels)];
    const middle = classes.map((label) => {
      const own = at.filter((_, n) => labels[n] === label);
      return [0, 1].map((k) => own.reduce((sum, p) => sum + p[k], 0) / own.length);
    });
    for (let round = 0; round < 60 && classes.length < at.length; round++) {
      for (let i = 0; i < middle.length; i++) {
        for (let j = i + 1; j < middle.length; j++) {
          let dx = middle[j][0] - middle[i][0], dy = middle[j][1] - middle[i][1], gap = Math.hypot(dx, dy);
          if (gap >= 0.9 * UNIT) continue;
          if (gap < 1) [dx, dy, gap] = [Math.cos(1 + 2.4 * j), Math.sin(1 + 2.4 * j), 1];
          const push = (0.9 * UNIT - Math.min(gap, 0.9 * UNIT)) / 2 / gap;
          middle[i] = [middle[i][0] - dx * push, middle[i][1] - dy * push];
          middle[j] = [middle[j][0] + dx * push, middle[j][1] + dy * push];
        }
      }
    }
    return labels.map((label) => middle[classes.indexOf(label)]);
  }

  /** Everything that is drawn of a graph whose nodes carry these labels: points, curves and directions free for letters. */
  function geometry(edges, start, labels) {
    const at = met(start, labels), curves = [], used = new Map(labels.map((label) => [label, []])), groups = new Map();
    edges.forEach(([i, j], e) => {
      const key = [labels[i], labels[j]].sort((p, q) => p - q).join();
      groups.set(key, [...(groups.get(key) ?? []), e]);
    });
    for (const members of groups.values()) {
      const [i, j] = edges[members[0]];
      if (labels[i] === labels[j]) continue;
      members.forEach((e, n) => {
        const [p, q] = edges[e].map((node) => at[node]);
        const bend = 25 * (n - (members.length - 1) / 2) * (labels[edges[e][0]] < labels[edges[e][1]] ? 1 : -1);
        const length = Math.hypot(q[0] - p[0], q[1] - p[1]) || 1;
        const side = [(-(q[1] - p[1]) / length) * bend, ((q[0] - p[0]) / length) * bend];
        const on = (share) => [0, 1].map((k) => p[k] + (q[k] - p[k]) * share + (4 / 3) * side[k]);
        curves[e] = { points: [p, on(1 / 3), on(2 / 3), q], head: 0.6 };
        used.get(labels[edges[e][0]]).push(Math.atan2(q[1] - p[1], q[0] - p[0]));
        used.get(labels[edges[e][1]]).push(Math.atan2(p[1] - q[1], p[0] - q[0]));
      });
    }
    for (const members of groups.values()) {
      const [i, j] = edges[members[0]], label = labels[i];
      if (label !== labels[j]) continue;
      const free = used.get(label), [gap, middle] = wide(free);
      const fan = free.length ? Math.min(gap / (members.length + 1), 1.25) : (2 * Math.PI) / members.length;
      members.forEach((e, n) => {
        const angle = middle + fan * (free.length ? n - (members.length - 1) / 2 : n), half = Math.min(0.6, 0.42 * fan);
        const control = (a) => [at[i][0] + LOOP * Math.cos(a), at[i][1] + LOOP * Math.sin(a)];
        curves[e] = { points: [at[i], control(angle - half), control(angle + half), at[i]], head: 0.5, angle };
      });
      members.forEach((e) => free.push(curves[e].angle));
    }
    const letters = labels.map((label, n) => {
      const angle = wide(used.get(label))[1], far = 17;
      const anchor = Math.abs(Math.cos(angle)) < 0.4 ? "middle" : Math.cos(angle) < 0 ? "end" : "start";
      return { at: [at[n][0] + far * Math.cos(angle), at[n][1] + far * Math.sin(angle)], anchor };
    });
    return { at, curves, letters };
  }

  const blend = (p, q, t) => p.map((x, k) => x + (q[k] - x) * t);
  const mixed = (from, to, t) => ({
    at: to.at.map((p, n) => blend(from.at[n], p, t)),
    curves: to.curves.map((c, e) => ({
      points: c.points.map((p, k) => blend(from.curves[e].points[k], p, t)),
      head: from.curves[e].head + (c.head - from.curves[e].head) * t,
    })),
    letters: to.letters,
  });
  const point = ([p, q, r, s], t) =>
    [0, 1].map((k) => (1 - t) ** 3 * p[k] + 3 * t * (1 - t) ** 2 * q[k] + 3 * t * t * (1 - t) * r[k] + t ** 3 * s[k]);
  const heading = (points, t) => {
    const a = point(points, t - 0.02), b = point(points, t + 0.02);
    return Math.atan2(b[1] - a[1], b[0] - a[0]);
  };
  const text = ([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  const pathOf = ([p, q, r, s]) => `M${text(p)}C${text(q)} ${text(r)} ${text(s)}`;
  function arrow({ points, head }) {
    const [x, y] = point(points, head), angle = heading(points, head);
    return [0, 2.5, -2.5].map((turn) => `${(x + 9 * Math.cos(angle + turn)).toFixed(1)},${(y + 9 * Math.sin(angle + turn)).toFixed(1)}`).join(" ");
  }
  /** The box of some drawings, with air around. */
  function box(drawings, air) {
    const all = drawings.flatMap((g) => [...g.at, ...g.letters.map((l) => l.at), ...g.curves.flatMap((c) => [0.25, 0.5, 0.75].map((t) => point(c.points, t)))]);
    const [xs, ys] = [0, 1].map((k) => all.map((p) => p[k]));
    const [x, y] = [Math.min(...xs) - air, Math.min(...ys) - air];
    return [x, y, Math.max(...xs) + air - x, Math.max(...ys) + air - y];
  }

  function thumbnail(name) {
    const edges = edgesOf(name), start = places(name), shape = geometry(edges, start, start.map((_, n) => n));
    const [x, y, width, height] = box([shape], 12);
    return svg("svg", { viewBox: [x, y, width, height].join(" "), width: Math.min(96, width * 0.32), height: Math.min(64, height * 0.32), "aria-hidden": "true", class: "wk-thumb" },
      ...shape.curves.map((c) => svg("path", { d: pathOf(c.points) })),
      ...shape.curves.map((c) => svg("polygon", { points: arrow(c) })),
      ...shape.at.map(([cx, cy]) => svg("circle", { cx, cy, r: 9 })));
  }

  /** The large drawing; show(labels, blocks) moves it there. */
  function stageDrawing() {
    const picture = svg("svg", { class: "wk-picture", role: "img" });
    let edges = [], start = [], now = null, frame = 0, parts = {}, styles = [], pairs = [];
    function put(shape) {
      now = shape;
      shape.curves.forEach((c, e) => {
        parts.lines[e].setAttribute("d", pathOf(c.points));
        parts.heads[e].setAttribute("points", arrow(c));
        const [x, y] = point(c.points, 0.38), angle = heading(c.points, 0.38);
        parts.numbers[e].setAttribute("x", x + 14 * Math.sin(angle));
        parts.numbers[e].setAttribute("y", y - 14 * Math.cos(angle) + 5);
      });
      shape.at.forEach(([x, y], n) => {
        parts.nodes[n].setAttribute("cx", x);
        parts.nodes[n].setAttribute("cy", y);
      });
      parts.links.forEach((link, k) => {
        const ends = (pairs[k] ?? []).map((e) => point(shape.curves[e].points, 0.5));
        if (!ends.length) return link.setAttribute("d", "");
        const [p, q] = ends, gap = Math.hypot(q[0] - p[0], q[1] - p[1]);
        const lift = 14 + 0.18 * gap, side = gap < 1 ? [0, -1] : [(q[1] - p[1]) / gap, -(q[0] - p[0]) / gap];
        const middle = [0, 1].map((i) => (p[i] + q[i]) / 2 + 2 * lift * side[i] * (k ? -1 : 1));
        link.setAttribute("d", `M${text(p)}Q${text(middle)} ${text(q)}`);
      });
    }
    function lettered(shape, labels) {
      labels.forEach((label, n) => {
        const own = labels.flatMap((l, m) => (l === label ? [LETTERS[m]] : []));
        parts.letters[n].textContent = label === n ? own.join("=") : "";
        parts.letters[n].setAttribute("x", shape.letters[n].at[0]);
        parts.letters[n].setAttribute("y", shape.letters[n].at[1] + 6);
        parts.letters[n].setAttribute("text-anchor", shape.letters[n].anchor);
      });
    }
    function open(name) {
      cancelAnimationFrame(frame);
      edges = edgesOf(name);
      start = places(name);
      now = null;
      parts = {
        links: [0, 1].map((k) => svg("path", { class: `wk-link wk-pair-${k}` })),
        lines: edges.map(() => svg("path")), heads: edges.map(() => svg("polygon")),
        nodes: start.map(() => svg("circle", { r: 8, class: "wk-node" })),
        numbers: edges.map((_, e) => svg("text", { class: "wk-number" }, String(e + 1))),
        letters: start.map(() => svg("text", { class: "wk-letter" })),
      };
      const shape = geometry(edges, start, start.map((_, n) => n));
      let [x, y, width, height] = box([shape], 26);
      const [w, h] = [Math.max(width, 290), Math.max(height, 200)];
      picture.setAttribute("viewBox", [x - (w - width) / 2, y - (h - height) / 2, w, h].join(" "));
      picture.replaceChildren(...parts.links, ...parts.lines, ...parts.heads, ...parts.nodes, ...parts.numbers, ...parts.letters);
    }
    function show(labels, blocks, words) {
      cancelAnimationFrame(frame);
      pairs = (blocks ?? []).filter((b) => b.length === 2);
      styles = edges.map((_, e) => {
        const k = pairs.findIndex((b) => b.includes(e));
        return !blocks ? "wk-edge" : k < 0 ? "wk-edge wk-alone" : `wk-edge wk-pair-${k}`;
      });
      for (const kind of ["lines", "heads", "numbers"]) {
        parts[kind].forEach((node, e) => node.setAttribute("class", `${styles[e]} wk-${kind}`));
      }
      picture.setAttribute("aria-label", words);
      const goal = geometry(edges, start, labels), from = now;
      parts.letters.forEach((letter) => (letter.textContent = ""));
      if (!from || ex.calm()) {
        put(goal);
        return lettered(goal, labels);
      }
      const begun = performance.now();
      const tick = (time) => {
        const t = Math.min(1, Math.max(0, (time - begun) / 650)), eased = t * t * (3 - 2 * t);
        put(mixed(from, goal, eased));
        if (t < 1) frame = requestAnimationFrame(tick);
        else lettered(goal, labels);
      };
      frame = requestAnimationFrame(tick);
    }
    return { node: picture, open, show };
  }

  ex.wickDrawing = { places, thumbnail, stageDrawing };
})();
