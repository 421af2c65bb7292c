// The shared core of the explorables: one global, pigmmExplore. A classic script, so that pages work from file://.
//
// An explorable NAME is  <div class="explorable" data-explorable="NAME">words for readers without scripts</div>,
// this file, its data (data-NAME.js, which assigns pigmmExplore.data.NAME) and NAME.js, which calls
// pigmmExplore.explorable("NAME", (stage) => { … fill the empty element stage … }).
(() => {
  "use strict";
  const HERE = new URL(".", document.currentScript.src); // where further data files lie

  // ---- randomness with a seed

  /**
   * A stream of random numbers that depends on the seed only (an integer from 0 to 4294967295).
   *
   * Words of 32 bits come from sfc32 (three words of state and a counter; state 0, seed, 0, counter 1, the first 16
   * words thrown away). uniform() has 53 bits, from two words; normal() is Box and Muller's transformation, whose two
   * normal deviates are both used.
   */
  function random(seed) {
    let a = 0, b = seed >>> 0, c = 0, counter = 1, spare = null;
    const word = () => {
      const sum = (a + b + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + sum) | 0;
      return sum >>> 0;
    };
    for (let k = 0; k < 16; k++) word();
    const uniform = () => ((word() >>> 5) * 67108864 + (word() >>> 6)) / 9007199254740992;
    const normal = () => {
      if (spare !== null) {
        const kept = spare;
        spare = null;
        return kept;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    };
    const below = (n) => Math.floor(uniform() * n);
    const shuffled = (items) => {
      const list = [...items];
      for (let k = list.length - 1; k > 0; k--) {
        const j = below(k + 1);
        [list[k], list[j]] = [list[j], list[k]];
      }
      return list;
    };
    return { word, uniform, normal, below, shuffled, matrix: (D) => matrix(D, normal) };
  }

  // ---- matrices are arrays of rows

  const matrix = (D, entry) => Array.from({ length: D }, (_, i) => Array.from({ length: D }, (_, j) => entry(i, j)));
  const rowSums = (W) => W.map((row) => row.reduce((a, b) => a + b, 0));
  const columnSums = (W) => W[0].map((_, j) => W.reduce((sum, row) => sum + row[j], 0));
  const largest = (W) => W.reduce((top, row) => row.reduce((a, b) => Math.max(a, Math.abs(b)), top), 0);

  /** The edges of one component of a graph's name: "01.12" is [[0, 1], [1, 2]]. */
  const edges = (component) => component.split(".").map((pair) => [+pair[0], +pair[1]]);

  /** The invariant with this name (as in pigmm: "00+01.12") of one square matrix: each component is summed by itself. */
  function invariant(name, W) {
    const total = (list) => {
      const index = [];
      const open = (at, product) => {
        if (at === list.length) return product;
        const [i, j] = list[at];
        const rows = index[i] === undefined ? W.keys() : [index[i]];
        let sum = 0;
        for (const row of rows) {
          const before = index[i];
          index[i] = row;
          const columns = index[j] === undefined ? W.keys() : [index[j]];
          for (const column of columns) {
            const kept = index[j];
            index[j] = column;
            const entry = W[row][column];
            if (entry !== 0) sum += open(at + 1, product * entry);
            index[j] = kept;
          }
          index[i] = before;
        }
        return sum;
      };
      return open(0, 1);
    };
    return name.split("+").reduce((product, component) => product * total(edges(component)), 1);
  }

  // ---- elements

  function fill(node, attributes, children) {
    for (const [key, value] of Object.entries(attributes ?? {})) {
      if (typeof value === "function") node.addEventListener(key.replace(/^on/, ""), value);
      else if (value === true) node.setAttribute(key, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }
  /** An HTML element: el("button", { type: "button", onclick: go }, "Go"). Texts are never read as HTML. */
  const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  /** An SVG element, likewise. */
  const svg = (tag, attributes, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  /** A symbol with an index, such as f₇: an italic letter and a subscript. */
  const symbol = (letter, index) => el("span", { class: "ex-symbol" }, el("i", {}, letter), el("sub", {}, index));
  /** A drawing that Python made and a data file holds, as text of SVG; its title says what it is. */
  function drawn(markup) {
    const holder = el("span", { class: "ex-drawn" });
    holder.innerHTML = markup;
    return holder;
  }
  const button = (text, onclick, attributes = {}) => el("button", { type: "button", onclick, ...attributes }, text);
  let ids = 0;
  const id = (stem) => `ex-${stem}-${++ids}`;

  // ---- numbers and colours

  const tenTo = (power) => `10${[...String(power)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("")}`;
  /** A number for readers: so many significant digits, a true minus sign, powers of ten where they are needed. */
  function number(x, digits = 3) {
    if (!Number.isFinite(x)) return "–";
    if (x === 0) return "0";
    const size = Math.abs(x);
    if (size >= 1e6 || size < 1e-4) {
      const [head, power] = x.toExponential(digits - 1).split("e");
      return `${head}·${tenTo(+power)}`.replace("-", "−");
    }
    const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
    return x.toFixed(Math.min(decimals, 8)).replace("-", "−");
  }
  /** With a fixed number of decimals: for columns of numbers, and for those that change under one's eyes. */
  const fixed = (x, decimals) => {
    const text = x.toFixed(decimals);
    return (+text === 0 ? text.replace("-", "") : text).replace("-", "−");
  };
  /** A value and its error, both to the second digit of the error; as pigmm.claims.measured, but for powers of ten. */
  function measured(value, error) {
    const size = Math.max(Math.abs(value), error);
    if (!(error > 0) || !Number.isFinite(size)) return number(value, 4);
    const power = size >= 1e6 || size < 1e-3 ? Math.floor(Math.log10(size)) : 0, unit = 10 ** power;
    const decimals = Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(error / unit))));
    const text = `${fixed(value / unit, decimals)} ± ${fixed(error / unit, decimals)}`;
    return power ? `(${text})·${tenTo(power)}` : text;
  }

  /** The colour of t from −1 (blue) over 0 (the paper) to 1 (orange), for a CSS fill; it follows the page's theme. */
  function diverging(t) {
    const share = Math.min(1, Math.abs(t)) * 100;
    return `color-mix(in oklab, var(--ex-${t < 0 ? "low" : "high"}) ${share.toFixed(1)}%, var(--ex-mid))`;
  }
  /** The value of one of our CSS variables, for a canvas: colour("accent") reads --ex-accent. */
  const colour = (name) => {
    const probe = document.querySelector(".explorable") ?? document.documentElement;
    return getComputedStyle(probe).getPropertyValue(`--ex-${name}`).trim();
  };
  /** Calls again when the page turns light or dark. */
  function onTheme(draw) {
    new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  // ---- pieces of pages

  /** A place that screen readers speak when it changes; say(words) waits until the reader has stopped moving things. */
  function announcer() {
    const node = el("p", { class: "ex-said", "aria-live": "polite" });
    let wait = 0;
    const say = (words) => {
      clearTimeout(wait);
      wait = setTimeout(() => (node.textContent = words), 400);
    };
    return { node, say };
  }

  /** A titled part of the stage. */
  // What stands in the address after #name=, or nothing; an address that somebody has cut is no reason to stop.
  const state = (name) => {
    if (!location.hash.startsWith(`#${name}=`)) return "";
    try { return decodeURIComponent(location.hash.slice(name.length + 2)); } catch { return ""; }
  };

  const panel = (title, ...children) => {
    const name = id("panel");
    return el("section", { class: "ex-panel", "aria-labelledby": name }, el("h2", { id: name }, title), ...children);
  };

  /** The numbers of a figure, folded under one line; update(rows) redraws them when they are looked at. */
  function folded(caption, head, summary = "The numbers") {
    const body = el("tbody");
    const cells = (tag, row) => row.map((cell, k) => el(k ? tag : "th", { scope: k && tag === "td" ? null : tag === "th" ? "col" : "row" }, cell));
    const table = el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, ...cells("th", head))), body);
    const box = el("div", { class: "ex-wide", tabindex: "0", role: "region", "aria-label": caption }, table);
    const node = el("details", { class: "ex-numbers" }, el("summary", {}, summary), box);
    let latest = [];
    const draw = () => node.open && body.replaceChildren(...latest.map((row) => el("tr", {}, ...cells("td", row))));
    node.addEventListener("toggle", draw);
    const update = (rows) => {
      latest = rows;
      draw();
    };
    return { node, update };
  }

  /**
   * A matrix as coloured squares. update(W, limit) shows W on the scale −limit … limit; with sums it has bars of the row
   * sums at the right and of the column sums below, on the scale −√D·limit … √D·limit. What it shows is told by its label.
   */
  function heatmap({ label, sums = false, texts = false }) {
    const drawing = svg("svg", { class: "ex-heatmap", role: "img" });
    const UNIT = 20, GAP = 8, BAR = 44;
    let cells = [], rows = [], columns = [], words = [], D = 0;
    function build(size) {
      D = size;
      const side = D * UNIT, whole = side + (sums ? GAP + BAR : 0);
      drawing.setAttribute("viewBox", `-1 -1 ${whole + 2} ${whole + 2}`);
      const square = (i, j) =>
        svg("rect", { x: j * UNIT + 0.5, y: i * UNIT + 0.5, width: UNIT - 1, height: UNIT - 1, rx: 1.5 });
      const bar = () => svg("rect", { class: "ex-bar" });
      const middle = side + GAP + BAR / 2;
      cells = matrix(D, square);
      rows = sums ? Array.from({ length: D }, bar) : [];
      columns = sums ? Array.from({ length: D }, bar) : [];
      words = texts
        ? matrix(D, (i, j) => svg("text", { x: (j + 0.5) * UNIT, y: (i + 0.5) * UNIT, class: "ex-cell" }))
        : [];
      const axes = sums
        ? [svg("path", { class: "ex-axis", d: `M${middle} 0V${side}M0 ${middle}H${side}` })]
        : [];
      drawing.replaceChildren(
        svg("rect", { class: "ex-frame", x: -0.5, y: -0.5, width: side + 1, height: side + 1, rx: 2 }),
        ...axes, ...cells.flat(), ...rows, ...columns, ...words.flat(),
      );
    }
    function update(W, limit) {
      if (W.length !== D) build(W.length);
      const scale = limit || 1;
      W.forEach((row, i) => row.forEach((w, j) => (cells[i][j].style.fill = diverging(w / scale))));
      if (texts) W.forEach((row, i) => row.forEach((w, j) => (words[i][j].textContent = number(w, 2))));
      if (sums) {
        const middle = D * UNIT + GAP + BAR / 2;
        const length = (sum) => Math.max(-1, Math.min(1, sum / (Math.sqrt(D) * scale))) * (BAR / 2);
        const place = (bar, along, across, sum) => {
          const reach = length(sum);
          bar.setAttribute(along, 0);
          bar.setAttribute(across, Math.min(middle, middle + reach));
          bar.setAttribute(across === "x" ? "width" : "height", Math.max(Math.abs(reach), 0.4));
          bar.setAttribute(across === "x" ? "height" : "width", UNIT - 6);
          bar.style.fill = `var(--ex-${sum < 0 ? "low" : "high"})`;
        };
        rowSums(W).forEach((sum, i) => {
          place(rows[i], "y", "x", sum);
          rows[i].setAttribute("y", i * UNIT + 3);
        });
        columnSums(W).forEach((sum, j) => {
          place(columns[j], "x", "y", sum);
          columns[j].setAttribute("x", j * UNIT + 3);
        });
      }
      drawing.setAttribute("aria-label", label(W));
    }
    return { node: drawing, update };
  }

  /** The colours of a heatmap from −limit to limit, with their numbers; update(limit). */
  function colourBar() {
    const ends = [el("span"), el("span", {}, "0"), el("span")];
    const strip = el("span", { class: "ex-strip", "aria-hidden": "true" });
    const node = el("div", { class: "ex-colours" }, strip, el("div", { class: "ex-ends" }, ...ends));
    const update = (limit) => {
      ends[0].textContent = number(-limit, 2);
      ends[2].textContent = number(limit, 2);
    };
    return { node, update };
  }

  /**
   * A slider with a field for its number. onchange(value) is asked on every move and may return the value to keep instead.
   * set(value) moves both without asking.
   */
  function slider({ label, name, min, max, step, value, onchange, digits = 3 }) {
    const own = id("slider");
    const text = (v) => String(+(+v).toPrecision(digits + 2));
    const range = el("input", { type: "range", id: own, min, max, step, value });
    const field = el("input", { type: "number", min, max, step, value: text(value), "aria-label": `${name}, as a number` });
    const node = el("div", { class: "ex-slider" }, el("label", { for: own }, label), range, field);
    let current = value;
    const set = (v) => {
      current = v;
      range.value = v;
      field.value = text(v);
      range.setAttribute("aria-valuetext", number(v, digits));
    };
    const move = (v) => {
      if (!Number.isFinite(v)) return set(current);
      const wanted = Math.min(+range.max, Math.max(+range.min, v));
      const kept = onchange(wanted);
      set(kept === undefined ? wanted : kept);
    };
    range.addEventListener("input", () => move(+range.value));
    field.addEventListener("change", () => move(field.value === "" ? NaN : +field.value));
    set(value);
    return { node, range, field, set, get value() { return current; } };
  }

  // ---- starting

  /** Runs start(stage, root) for every container of this name; what start puts into stage takes the place of the words. */
  function explorable(name, start) {
    const begin = () =>
      document.querySelectorAll(`.explorable[data-explorable="${name}"]`).forEach((root) => {
        const stage = el("div", { class: "ex-stage" });
        start(stage, root);
        root.replaceChildren(stage);
        root.classList.add("ex-live");
      });
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
    else begin();
  }

  const asked = new Map();
  /** Adds a further data file of this folder, once; the promise is kept when it has run. */
  function load(file) {
    if (!asked.has(file)) {
      const ready = new Promise((resolve, reject) => {
        const script = el("script", { src: new URL(file, HERE).href, onload: resolve });
        script.addEventListener("error", () => reject(new Error(`cannot load ${file}`)));
        document.head.append(script);
      });
      ready.catch(() => asked.delete(file));
      asked.set(file, ready);
    }
    return asked.get(file);
  }

  window.pigmmExplore = {
    data: {}, random, matrix, rowSums, columnSums, largest, edges, invariant, el, svg, symbol, button, id, drawn, number, fixed,
    measured, diverging, colour, onTheme, calm, announcer, state, panel, folded, heatmap, colourBar, slider, explorable, load,
  };
})();
