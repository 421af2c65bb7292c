// The training film: what is fitted to a published ensemble, and what it misses, epoch by epoch.
(() => {
  "use strict";
  const ex = pigmmExplore, { el, svg, number } = ex;
  const lowered = (n) => [...String(n)].map((c) => "₀₁₂₃₄₅₆₇₈₉"[c]).join("");
  const MEANING = [
    "D × mean entry", "diagonal excess, mean", "variance of the mean", "mean with excess", "variance of the excess", "column effects",
    "columns with rows", "columns with diagonal", "row effects", "rows with diagonal", "diagonal effects", "symmetric rest", "antisymmetric rest",
  ];
  const ZERO = [1, 3, 6, 7, 9], EQUAL = [4, 10, 11, 12]; // by symmetry, where rows and columns are different neurons

  /** z and effect size of the 348 predictions from their text: see pack in pigmm/explore_film.py. */
  function unpack(text, [zTop, effectTop]) {
    const { alphabet, zLevels, effectLevels, unit } = ex.data.film.packing;
    const zScale = Math.asinh(zTop) / zLevels, scale = Math.asinh(effectTop / unit) / effectLevels;
    const place = new Map([...alphabet].map((c, k) => [c, k])), base = alphabet.length, dots = [];
    for (let k = 0; k < text.length; k += 3) {
      const code = (place.get(text[k]) * base + place.get(text[k + 1])) * base + place.get(text[k + 2]);
      const size = code % (effectLevels + 1), level = (code - size) / (effectLevels + 1) - zLevels;
      dots.push({ z: Math.sinh(level * zScale), effect: unit * Math.sinh(size * scale) });
    }
    return dots;
  }
  ex.film = { unpack };

  // ---- curves over epochs; the axis is logarithmic, since most happens early

  const along = (epochs, from, to) => (epoch) => from + ((to - from) * Math.log1p(epoch)) / Math.log1p(epochs);
  const line = (points) => points.map(([x, y], k) => `${k ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const area = (high, low) => `${line(high)}${line([...low].reverse()).replace("M", "L")}Z`;

  /** A small curve with a band of two standard errors: values and errors over epochs, on the scale from low to high. */
  function spark() {
    const WIDTH = 160, HEIGHT = 52;
    const marker = svg("circle", { r: 4, class: "tf-marker" }), bar = svg("path", { class: "tf-bar" });
    const start = svg("path", { class: "tf-start" }), curve = svg("path", { class: "tf-line" }), band = svg("path", { class: "tf-band" });
    const node = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "tf-spark", "aria-hidden": "true" }, start, band, curve, bar, marker);
    let x, y, data;
    function draw(values, errors, reference, low, high) {
      x = along(values.length - 1, 5, WIDTH - 5);
      y = (v) => Math.max(-9, Math.min(HEIGHT + 9, 5 + ((HEIGHT - 10) * (high - v)) / (high - low || 1)));
      data = { values, errors };
      const points = (k) => values.map((v, t) => [x(t), y(v + k * errors[t])]);
      start.setAttribute("d", `M0 ${y(reference)}H${WIDTH}`);
      band.setAttribute("d", area(points(2), points(-2)));
      curve.setAttribute("d", line(points(0)));
    }
    function move(t) {
      const [v, e] = [data.values[t], data.errors[t]];
      marker.setAttribute("cx", x(t));
      marker.setAttribute("cy", y(v));
      bar.setAttribute("d", `M${x(t)} ${y(v - 2 * e)}V${y(v + 2 * e)}`);
    }
    return { node, draw, move };
  }

  /** A chart with axes; series are { values, low, high, kind }, given on the scale that y makes of them. */
  function chart(title) {
    const WIDTH = 330, HEIGHT = 158, LEFT = 44, RIGHT = 8, TOP = 8, BOTTOM = 24;
    const back = svg("g"), marks = svg("g");
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "tf-chart", role: "img" }, back, marks);
    const said = el("p", { class: "tf-now" }), node = el("figure", { class: "tf-figure" }, el("figcaption", {}, title), picture, said);
    let x, y, shown = [];
    function draw({ series, epochs, scale = (v) => v, low, high, ticks, tick, dashed }) {
      x = along(epochs, LEFT + 4, WIDTH - RIGHT);
      y = (v) => TOP + ((HEIGHT - TOP - BOTTOM) * (scale(high) - scale(Math.min(high, Math.max(low, v))))) / (scale(high) - scale(low));
      shown = series;
      const last = [0, 1, 2, 5, 10, 20, 50].filter((t) => t <= epochs);
      back.replaceChildren(
        ...ticks.map((v) => svg("path", { class: "tf-grid", d: `M${LEFT} ${y(v)}H${WIDTH - RIGHT}` })),
        ...ticks.map((v) => svg("text", { x: LEFT - 5, y: y(v) + 4, "text-anchor": "end" }, tick(v))),
        ...last.map((t) => svg("text", { x: x(t), y: HEIGHT - 8, "text-anchor": t === epochs ? "end" : "middle" }, String(t))),
        ...(dashed === undefined ? [] : [svg("path", { class: "tf-start", d: `M${LEFT} ${y(dashed)}H${WIDTH - RIGHT}` })]),
        ...series.flatMap(({ values, low: l, high: h, kind }) => [
          ...(l ? [svg("path", { class: `tf-band ${kind}`, d: area(h.map((v, t) => [x(t), y(v)]), l.map((v, t) => [x(t), y(v)])) })] : []),
          svg("path", { class: `tf-line ${kind}`, d: line(values.map((v, t) => [x(t), y(v)])) }),
        ]),
      );
    }
    function move(t, words) {
      marks.replaceChildren(
        svg("path", { class: "tf-grid tf-cursor", d: `M${x(t)} ${TOP}V${HEIGHT - BOTTOM}` }),
        ...shown.map(({ values, kind }) => svg("circle", { class: `tf-marker ${kind}`, cx: x(t), cy: y(values[t]), r: 4 })),
      );
      picture.setAttribute("aria-label", `${title} by epoch: ${words}`);
      said.textContent = words;
    }
    return { node, draw, move };
  }

  // ---- the 348 predictions: a dot for each, piled up over its size

  const RULERS = {
    z: { scale: Math.asinh, ticks: [0, 3, 10, 30, 100, 300], signed: true, words: "miss in standard errors, z (measured minus predicted)" },
    effect: { scale: (v) => Math.asinh(v / 0.01), ticks: [0, 0.01, 0.03, 0.1, 0.3, 1, 3], signed: false, words: "effect size: |miss| in standard deviations over networks" },
  };

  function piles(onpick) {
    const { names, cubic, beyond } = ex.data.film;
    const STEP = 5, ROW = [58, 118], TOP = 18, BOTTOM = 40;
    const HEIGHT = TOP + ROW[0] + 22 + ROW[1] + BOTTOM;
    const back = svg("g"), dots = names.map(() => svg("circle", { r: 2.1 }));
    const picture = svg("svg", { class: "tf-piles", role: "img" }, back, svg("g", {}, ...dots));
    const base = [TOP + ROW[0], TOP + ROW[0] + 22 + ROW[1]];
    let x = null, WIDTH = 0, ruler = RULERS.z, key = "z", at = [];
    function frame(width, name, top) {
      [WIDTH, key, ruler] = [Math.max(260, Math.round(width)), name, RULERS[name]];
      picture.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
      const edge = ruler.scale(top), left = ruler.signed ? -edge : 0, room = WIDTH - 24;
      x = (v) => 12 + (room * (ruler.scale(v) - left)) / (edge - left);
      const ticks = [...new Set(ruler.ticks.filter((v) => v <= top).flatMap((v) => (ruler.signed && v ? [-v, v] : [v])))];
      const kept = [];
      for (const v of ticks) if (kept.every((k) => Math.abs(x(k) - x(v)) > 26)) kept.push(v);
      back.replaceChildren(
        ...kept.map((v) => svg("path", { class: `tf-grid${Math.abs(v) === beyond && ruler.signed ? " tf-limit" : ""}`, d: `M${x(v)} ${TOP - 4}V${base[1] + 4}` })),
        ...base.map((y) => svg("path", { class: "tf-axis", d: `M12 ${y + 3}H${WIDTH - 12}` })),
        ...kept.map((v) => svg("text", { x: x(v), y: base[1] + 18, "text-anchor": "middle" }, number(v, 1))),
        svg("text", { x: 12, y: TOP - 6 }, `${cubic} cubic`), svg("text", { x: 12, y: base[0] + 20 }, `${names.length - cubic} quartic`),
        svg("text", { x: WIDTH / 2, y: HEIGHT - 5, "text-anchor": "middle", class: "tf-title" }, WIDTH < 420 ? ruler.words.replace(/ \(.*| in standard deviations.*/, "") : ruler.words),
      );
    }
    function show(list, words) {
      const high = [new Map(), new Map()];
      at = list.map((dot, k) => {
        const row = +(k >= cubic), bin = Math.round(x(dot[key]) / STEP), n = high[row].get(bin) ?? 0;
        high[row].set(bin, n + 1);
        return { row, bin, n, x: bin * STEP };
      });
      const step = high.map((bins, row) => Math.min(4.6, (ROW[row] - 4) / Math.max(1, ...bins.values())));
      at.forEach((place, k) => {
        place.y = base[place.row] - place.n * step[place.row] - 1;
        dots[k].setAttribute("cx", place.x);
        dots[k].setAttribute("cy", place.y.toFixed(1));
        dots[k].setAttribute("class", Math.abs(list[k].z) > beyond ? "tf-dot tf-beyond" : "tf-dot");
      });
      picture.setAttribute("aria-label", words);
    }
    for (const kind of ["pointermove", "pointerdown"]) picture.addEventListener(kind, (event) => {
      const box = picture.getBoundingClientRect(), [px, py] = [((event.clientX - box.left) * WIDTH) / box.width, ((event.clientY - box.top) * HEIGHT) / box.height];
      let best = -1, near = 324;
      at.forEach((place, k) => {
        const far = (place.x - px) ** 2 + (place.y - py) ** 2;
        if (far < near) [best, near] = [k, far];
      });
      dots.forEach((dot, k) => dot.classList.toggle("tf-picked", k === best));
      onpick(best);
    });
    return { node: picture, frame, show };
  }

  // ---- the page

  function start(stage) {
    const { archives, names, cubic, beyond, films } = ex.data.film;
    const state = { archive: "mnist-gaussian", layer: "", epoch: 0, ruler: "z", common: true };
    let film = null, layer = null, unpacked = [], playing = 0, latest = 0, quiet = true;
    const said = ex.announcer(), status = el("p", { class: "ex-soft", role: "status" });
    said.node.classList.add("ex-hidden");

    const archive = el("select", { onchange: () => choose(archive.value, "", state.epoch) }, ...archives.map((a) => el("option", { value: a.name }, a.title)));
    const layers = el("div", { class: "tf-layers", role: "group", "aria-label": "Layer" }), about = el("p", { class: "ex-soft tf-about" });
    const slider = ex.slider({ label: "Epoch", name: "Epoch", min: 0, max: 50, step: 1, value: 0, onchange: (v) => {
      play(false);
      go(Math.round(v));
      return Math.round(v);
    } });
    const player = ex.button("Play", () => play(!playing), { class: "ex-main tf-play" });
    const back = ex.button("◀ Back", () => step(-1)), next = ex.button("Next ▶", () => step(1));

    const sparks = MEANING.map((words, k) => {
      const picture = spark(), value = el("span", { class: "tf-value" }), tag = el("span", { class: "tf-tag" });
      const node = el("li", { class: "tf-cell" }, el("span", { class: "tf-name" }, el("b", {}, `f${lowered(k + 1)}`), ` ${words}`), picture.node, value, tag);
      return { ...picture, node, value, tag };
    });
    const scale = el("select", { onchange: () => {
      state.common = scale.value === "common";
      drawParameters();
      go(state.epoch);
    } }, el("option", { value: "common" }, "one for means, one for the others"), el("option", { value: "own" }, "each its own"));

    const distance = chart("Squared Wasserstein distance from the start, W₂²");
    const accuracy = chart("Test accuracy");
    const refuted = chart(`Predictions missed by more than ${beyond} standard errors`);
    const picked = el("p", { class: "tf-picked-words ex-soft" }), counted = el("p", { class: "tf-counted" });
    const swarm = piles((k) => {
      const dot = unpacked[state.epoch][k];
      picked.textContent = k < 0 ? hint : `${names[k]} (${k < cubic ? "cubic" : "quartic"}): z about ${number(dot.z, 2)}, effect size about ${number(dot.effect, 2)}`;
    });
    const hint = "Point at a dot, or tap it, to see which invariant it is.";
    const ruler = el("select", { onchange: () => {
      state.ruler = ruler.value;
      frame();
      go(state.epoch);
    } }, el("option", { value: "z" }, "is it real? (standard errors, z)"), el("option", { value: "effect" }, "is it large? (effect size)"));
    const leaders = el("tbody");
    const table = ex.folded("Fitted parameters", ["parameter", "value", "standard error", "exact law of the start"], "The thirteen numbers of this epoch");
    const others = ex.folded("The rest", ["what", "value", "standard error or range"], "The other numbers of this epoch");

    // -- choosing

    async function choose(name, layerName, epoch) {
      play(false);
      const ticket = ++latest, listed = archives.find((a) => a.name === name) ?? archives[0];
      status.textContent = films[listed.name] ? "" : "Loading …";
      try {
        await ex.load(listed.file);
        if (!films[listed.name]) throw new Error(`${listed.file} holds no film`);
      } catch (error) {
        if (ticket === latest) {
          status.textContent = `The film of ${listed.title} cannot be shown: ${error.message}.`;
          if (film) archive.value = state.archive;
        }
        return;
      }
      if (ticket !== latest) return;
      status.textContent = "";
      [state.archive, film] = [listed.name, films[listed.name]];
      [...stage.querySelectorAll("[inert]")].forEach((node) => { node.inert = false; });
      archive.value = listed.name;
      slider.range.max = slider.field.max = film.epochs;
      layers.replaceChildren(...film.layers.map(({ name: own, shape }) => ex.button(`${own} · ${shape.join("×")}`, () => pick(own), { "data-layer": own })));
      const out = film.leftOut.map(({ name: own, shape }) => `${own} (${shape.join("×")}) is not square, has no thirteen parameters, and is left out.`);
      about.textContent = [`${film.runs} networks, ${film.epochs} epochs.`, ...out].join(" ");
      state.epoch = Math.min(epoch, film.epochs);
      pick(layerName || state.layer);
    }
    function pick(name) {
      layer = film.layers.find((l) => l.name === name) ?? film.layers.at(-1);
      state.layer = layer.name;
      [...layers.children].forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.layer === layer.name)));
      unpacked = layer.dots.map((text) => unpack(text, layer.top));
      drawParameters();
      drawCharts();
      frame();
      go(state.epoch);
    }
    function drawParameters() {
      const limits = (indices) => {
        const all = indices.flatMap((k) => [layer.start[k], ...layer.f[k].flatMap((v, t) => [v - 2 * layer.e[k][t], v + 2 * layer.e[k][t]])]);
        return [Math.min(0, ...all), Math.max(0, ...all)];
      };
      const means = [0, 1], rest = [...Array(11).keys()].map((k) => k + 2), groups = [limits(means), limits(rest)];
      sparks.forEach((cell, k) => {
        const [low, high] = state.common ? groups[+(k > 1)] : limits([k]);
        cell.draw(layer.f[k], layer.e[k], layer.start[k], low, high);
        cell.tag.textContent = layer.paired ? "" : ZERO.includes(k) ? "zero by symmetry" : EQUAL.includes(k) ? "one value by symmetry" : "";
      });
    }
    function drawCharts() {
      const epochs = film.epochs, { w, we, floor } = layer;
      const bottom = 10 ** Math.floor(Math.log10(Math.min(floor, ...w) * 0.7)), top = Math.max(...w.map((v, t) => v + 2 * we[t]));
      const powers = [...Array(9).keys()].map((k) => k - 5).map((k) => 10 ** k).filter((v) => v >= bottom && v <= top * 1.3);
      distance.draw({ epochs, scale: Math.log, low: bottom, high: top * 1.3, ticks: powers, tick: (v) => number(v, 1), dashed: floor,
        series: [{ values: w, low: w.map((v, t) => v - 2 * we[t]), high: w.map((v, t) => v + 2 * we[t]), kind: "" }] });
      const { low, median, high } = film.accuracy;
      accuracy.draw({ epochs, low: 0, high: 1, ticks: [0, 0.25, 0.5, 0.75, 1], tick: (v) => `${100 * v} %`, series: [{ values: median, low, high, kind: "" }] });
      const share = [0, 1].map((d) => layer.beyond.map((counts) => counts[d] / [cubic, names.length - cubic][d]));
      const most = Math.max(0.1, ...share.flat()), grid = [0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1].filter((v) => v <= most * 1.05);
      refuted.draw({ epochs, low: 0, high: most * 1.05, ticks: grid.filter((v, k) => k === 0 || v >= most * 0.2), tick: (v) => `${number(100 * v, v < 0.1 && v > 0 ? 1 : 2)} %`,
        series: [{ values: share[0], kind: "tf-cubic" }, { values: share[1], kind: "tf-quartic" }] });
    }
    function frame() {
      const width = swarm.node.parentElement?.clientWidth || 600;
      const top = state.ruler === "z" ? layer.top[0] : layer.top[1];
      swarm.frame(width, state.ruler, Math.max(top, state.ruler === "z" ? 4 : 0.05));
    }

    // -- one epoch

    const percent = (v) => `${number(100 * v, 3)} %`;
    const ofDegree = (d) => `${layer.beyond[state.epoch][d]} of ${[cubic, names.length - cubic][d]} ${["cubic", "quartic"][d]}`;
    function go(t) {
      state.epoch = t;
      slider.set(t);
      [back.disabled, next.disabled] = [t === 0, t === film.epochs];
      sparks.forEach((cell, k) => {
        cell.move(t);
        cell.value.textContent = ex.measured(layer.f[k][t], layer.e[k][t]);
      });
      const { w, we, floor } = layer, a = film.accuracy;
      distance.move(t, `${ex.measured(w[t], we[t])}; dashed: noise floor ${number(floor, 2)}`);
      accuracy.move(t, `median ${percent(a.median[t])}; 10 % of networks below ${percent(a.low[t])}, 10 % above ${percent(a.high[t])}`);
      refuted.move(t, `${ofDegree(0)} (solid), ${ofDegree(1)} (dotted)`);
      const words = `Beyond ${beyond} standard errors: ${ofDegree(0)}, ${ofDegree(1)}`;
      swarm.show(unpacked[t], `A dot for each of ${names.length} predictions. ${words}.`);
      const medians = layer.effect[t];
      counted.textContent = `${words} (filled dots). Were the law true, about one of ${Math.round(1 / 0.0027)} would be. Median effect size: ${number(medians[0], 3)} cubic, ${number(medians[1], 3)} quartic.`;
      picked.textContent = hint;
      const order = unpacked[t].map((dot, k) => ({ k, size: Math.abs(dot[state.ruler]) })).sort((p, q) => q.size - p.size).slice(0, 5);
      leaders.replaceChildren(...order.map(({ k }) => el("tr", {}, el("th", { scope: "row" }, el("code", {}, names[k])), el("td", {}, k < cubic ? "cubic" : "quartic"), el("td", {}, number(unpacked[t][k].z, 2)), el("td", {}, number(unpacked[t][k].effect, 2)))));
      table.update(sparks.map((_, k) => [`f${lowered(k + 1)}`, number(layer.f[k][t], 5), number(layer.e[k][t], 3), number(layer.start[k], 5)]));
      const [place, z, effect, measured, error, predicted] = layer.lead[t];
      others.update([
        ["W₂² from the start", number(w[t], 5), number(we[t], 3)], ["its noise floor", number(floor, 3), ""],
        ["test accuracy, median", number(a.median[t], 5), `${number(a.low[t], 5)} to ${number(a.high[t], 5)} (10 % and 90 % of networks)`],
        ["beyond 3 standard errors, cubic", String(layer.beyond[t][0]), `of ${cubic}`], ["beyond 3 standard errors, quartic", String(layer.beyond[t][1]), `of ${names.length - cubic}`],
        ["median effect size, cubic", number(medians[0], 4), ""], ["median effect size, quartic", number(medians[1], 4), ""],
        [`largest |z|: ${names[place]}, measured`, number(measured, 5), number(error, 3)], ["predicted", number(predicted, 5), ""],
        ["its z", number(z, 5), ""], ["its effect size", number(effect, 4), ""],
      ]);
      if (quiet) return;
      said.say(`Epoch ${t}, ${layer.name}. W2 squared ${number(w[t], 3)}. ${words}. Median accuracy ${percent(a.median[t])}.`);
      if (!playing) remember();
    }
    function step(by) {
      play(false);
      go(Math.min(film.epochs, Math.max(0, state.epoch + by)));
    }
    function play(on) {
      const was = playing;
      clearInterval(playing);
      playing = 0;
      if (on && film) {
        if (state.epoch === film.epochs) go(0);
        const pace = ex.calm() ? 700 : Math.min(500, Math.max(220, 11000 / film.epochs));
        playing = setInterval(() => {
          go(state.epoch + 1);
          if (state.epoch === film.epochs) play(false);
        }, pace);
      } else if (was) remember();
      player.textContent = playing ? "Pause" : "Play";
    }

    // -- a link to this state

    const remember = () => history.replaceState(null, "", `#film=${state.archive},${state.layer},${state.epoch}`);
    function recall() {
      const [name, own, epoch] = ex.state("film").split(",");
      return [archives.some((a) => a.name === name) ? name : state.archive, own ?? "", Number.isInteger(+epoch) && +epoch >= 0 ? +epoch : 0];
    }
    async function restore() {
      quiet = true;
      await choose(...recall());
      quiet = false;
    }

    const controls = el("div", { class: "tf-controls" }, player, back, next);
    controls.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by || !film) return;
      event.preventDefault();
      step(by);
    });
    stage.append(
      ex.panel("1. Choose an ensemble, and play", el("div", { class: "ex-row" }, el("label", { class: "tf-choice" }, "Published ensemble", archive), layers), about, slider.node, controls, status, said.node),
      ex.panel("2. How far it moved, and what it misses", el("div", { class: "tf-three" }, distance.node, accuracy.node, refuted.node),
        el("p", { class: "ex-soft" }, "Across: epochs, logarithmic. Bands: two standard errors of the distance; of the accuracy, the middle 80 % of the networks."), others.node),
      ex.panel("3. The law: thirteen parameters", el("div", { class: "ex-row" }, el("label", {}, "Vertical scale", scale)),
        el("ul", { class: "tf-grid-of-cells" }, ...sparks.map((cell) => cell.node)),
        el("p", { class: "ex-soft" }, "Value ± standard error now. Curve: all epochs, on a logarithmic axis, with a band of two standard errors. Dashed: the exact law of the start."), table.node),
      ex.panel(`4. ${names.length} predictions, none of them fitted`, el("div", { class: "ex-row" }, el("label", {}, "Ask", ruler)), el("div", { class: "tf-stage" }, swarm.node), picked, counted,
        el("div", { class: "ex-wide", tabindex: "0", role: "region", "aria-label": "The five largest" }, el("table", {}, el("caption", {}, "The five largest by the chosen ruler, to two digits"), el("thead", {}, el("tr", {}, ...["invariant", "degree", "z", "effect size"].map((h) => el("th", { scope: "col" }, h)))), leaders))),
    );
    [slider.node, controls, ...[...stage.children].slice(1)].forEach((node) => { node.inert = true; }); // until there is a film to show
    restore();
    const follow = () => {
      if (!location.hash.startsWith("#film=")) return;
      restore();
      stage.scrollIntoView();
    };
    addEventListener("hashchange", follow);
    document.querySelectorAll("[data-state]").forEach((words) => { // places in the text: links, once there is something to go to
      words.replaceWith(el("a", { href: words.dataset.state }, ...words.childNodes));
    });
    new ResizeObserver(() => {
      if (!film) return;
      frame();
      swarm.show(unpacked[state.epoch], swarm.node.getAttribute("aria-label"));
    }).observe(swarm.node.parentElement);
  }

  ex.explorable("film", start);
})();
