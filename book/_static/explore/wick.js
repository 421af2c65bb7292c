// Wick by graph: how a Gaussian law predicts an invariant, one pairing of edges and one merger of nodes at a time.
// The mathematics is in wick-sum.js and the drawings are in wick-drawing.js; this is the page.
(() => {
  "use strict";
  const ex = pigmmExplore, { el, number } = ex;
  const LETTERS = "abcdefgh";

  // ---- words

  const lowered = (text) => [...text].map((c) => "₀₁₂₃₄₅₆₇₈₉"[c] ?? c).join("");
  const raised = (n) => [...String(n)].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("");
  const power = (n) => (n === 1 ? "" : raised(n));
  const whole = (x) => (Number.isInteger(x) && x < 1e6 ? String(x) : number(x, 4));
  const factor = (pattern) => (pattern === "01" ? "a" : pattern === "00" ? "b" : `c${lowered(pattern)}`);
  const listed = (items) => (items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`);
  const pairName = (blocks) => blocks.map((block) => block.map((e) => e + 1).join("–")).join(", ");
  const signed = (x) => (x > 0 ? "+" : "") + number(x, 4);

  function pairingWords(blocks) {
    const pairs = blocks.filter((b) => b.length === 2).map(([e, f], n) => `edge ${e + 1} ${n ? "" : "is paired "}with edge ${f + 1}`);
    const alone = blocks.filter((b) => b.length === 1).map(([e]) => String(e + 1));
    const words = pairs.length ? [listed(pairs)] : [];
    if (alone.length === 1) words.push(`edge ${alone[0]} stays alone and gives its mean`);
    if (alone.length > 1) words.push(`edges ${listed(alone)} stay alone and give their means`);
    const text = words.join("; ");
    return `${text[0].toUpperCase()}${text.slice(1)}.`;
  }

  function mergerWords(labels) {
    const classes = [...new Set(labels)].map((label) => labels.flatMap((l, n) => (l === label ? [LETTERS[n]] : [])));
    const merged = classes.filter((c) => c.length > 1).map((c) => `${listed(c)} become one`);
    return merged.length ? `Nodes ${merged.join("; ")}.` : "All nodes stay apart.";
  }

  /** The terms of a merger with equal ones counted: [["2 a c₀₁₀₁", weight], …], large ones first. */
  function monomials(terms) {
    const found = new Map();
    for (const { patterns, weight } of terms) {
      const factors = patterns.map(factor).sort();
      const words = [...new Set(factors)].map((c) => c + power(factors.filter((x) => x === c).length)).join(" ");
      const [count, sum] = found.get(words) ?? [0, 0];
      found.set(words, [count + 1, sum + weight]);
    }
    const list = [...found].map(([words, [count, sum]]) => [count > 1 ? `${count} ${words}` : words, sum]);
    return list.sort((s, t) => Math.abs(t[1]) - Math.abs(s[1]));
  }

  function weightWords(terms) {
    const list = monomials(terms);
    return list.slice(0, 3).map(([words]) => words).join(" + ") + (list.length > 3 ? ` + ${list.length - 3} more` : "");
  }

  // ---- the page

  const MEANING = {
    "0000": "the same diagonal entry", "0001": "a diagonal entry and one of its row", "0100": "an entry and the diagonal one of its row",
    "0010": "a diagonal entry and one of its column", "0111": "an entry and the diagonal one of its column", "0011": "two diagonal entries",
    "0012": "a diagonal entry and any other", "0122": "any entry and a diagonal one", "0101": "the same entry", "0102": "the same row",
    "0110": "transposed entries", "0112": "column of the first, row of the second", "0120": "row of the first, column of the second",
    "0121": "the same column", "0123": "any two entries", "01": "any entry", "00": "diagonal entries",
  };
  const NAMES = {
    simple: ["mean m", "variance σ²"], two: ["mean m", "v₀₀", "v rows", "v columns", "v entries"],
    full: Array.from({ length: 13 }, (_, k) => `f${lowered(String(k + 1))}`),
  };
  const OWN = { simple: "Independent entries: mean, variance", two: "Rows, columns, entries: five numbers", full: "Thirteen numbers of your own" };

  function start(stage) {
    const { KINDS, thirteen, fault, edgesOf, contributions } = ex.wick, { places, thumbnail, stageDrawing } = ex.wickDrawing;
    const data = ex.data.wick, names = data.graphs.map(([name]) => name);
    const alias = new Map(data.graphs), label = (name) => (alias.get(name) ? `${name} (I${alias.get(name)})` : name);
    const state = { graph: "01.12", law: data.laws[3].key, D: 10, numbers: {
      simple: [0, 0.1], two: [0.02, 0.3, 0.2, 0.15, 0.1], full: data.laws[3].f }, mode: "merge", step: 0 };
    let parts = [], steps = [], total = 0, playing = 0, shown = [], quiet = true;

    const drawing = stageDrawing(), said = ex.announcer();
    said.node.classList.add("ex-hidden");

    // -- choosing

    const published = () => data.laws.find((law) => law.key === state.law);
    const current = () => {
      const law = published();
      return law ? { rules: thirteen(law.f, law.dim), D: law.dim } : { rules: KINDS[state.law](state.numbers[state.law], state.D), D: state.D };
    };
    const degree = el("select", { onchange: () => fillGallery() }, ...[1, 2, 3, 4].map((k) => el("option", { value: k }, `${k} edge${k > 1 ? "s" : ""} (${names.filter((n) => edgesOf(n).length === k).length})`)));
    const find = el("input", { type: "text", placeholder: "01.12 or I9", autocomplete: "off", spellcheck: "false", oninput: () => fillGallery() });
    const gallery = el("div", { class: "wk-gallery", role: "listbox", "aria-label": "Invariant graphs" });
    const none = el("p", { class: "ex-soft", role: "status" });
    const lawChoice = el("select", { onchange: () => chooseLaw(lawChoice.value) },
      el("optgroup", { label: "Your own numbers" }, ...Object.entries(OWN).map(([value, words]) => el("option", { value }, words))),
      el("optgroup", { label: "Fitted to published ensembles" }, ...data.laws.map((law) => el("option", { value: law.key }, law.title))));
    const size = ex.slider({ label: "Size D of the matrix", name: "Size D", min: 4, max: 100, step: 1, value: state.D, onchange: (v) => {
      state.D = Math.round(v);
      renew();
      return state.D;
    } });
    const fields = el("div", { class: "wk-fields" }), warning = el("p", { class: "wk-warning", role: "status" });

    function fillGallery() {
      const query = find.value.trim().toLowerCase();
      shown = names.filter((name) => query
        ? (/^i\d+$/.test(query) ? `i${alias.get(name)}` === query : name.includes(query))
        : edgesOf(name).length === +degree.value);
      none.textContent = shown.length ? "" : "No graph of up to four edges has this in its name.";
      gallery.hidden = !shown.length;
      gallery.replaceChildren(...shown.map((name) => el("div", { role: "option", class: "wk-card", "data-name": name, "aria-label": label(name), onclick: () => chooseGraph(name) },
        thumbnail(name), el("span", {}, name), el("small", {}, alias.get(name) ? `I${alias.get(name)}` : " "))));
      mark();
    }
    function mark() {
      const at = Math.max(0, shown.indexOf(state.graph));
      [...gallery.children].forEach((card, k) => {
        card.setAttribute("aria-selected", String(card.dataset.name === state.graph));
        card.tabIndex = k === at ? 0 : -1;
      });
      const card = gallery.children[at];
      if (card) requestAnimationFrame(() => {
        const [top, bottom] = [card.offsetTop - 8, card.offsetTop + card.offsetHeight + 8];
        if (top < gallery.scrollTop || bottom > gallery.scrollTop + gallery.clientHeight) gallery.scrollTop = top - 40;
      });
    }
    gallery.addEventListener("keydown", (event) => {
      const at = [...gallery.children].indexOf(event.target.closest(".wk-card"));
      const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 }[event.key];
      if (event.key === "Enter" || event.key === " ") chooseGraph(shown[at]);
      else if (to !== undefined) {
        const next = Math.min(shown.length - 1, Math.max(0, to));
        chooseGraph(shown[next]);
        gallery.children[next].focus();
      } else return;
      event.preventDefault();
    });

    function chooseGraph(name) {
      state.graph = name;
      state.step = 0;
      drawing.open(name);
      mark();
      renew();
    }
    function chooseLaw(key) {
      const before = published();
      if (key === "full" && before) {
        state.numbers.full = [...before.f];
        state.D = Math.min(100, before.dim);
        size.set(state.D);
      }
      state.law = key;
      lawChoice.value = key;
      const own = !published();
      size.node.hidden = !own;
      warning.textContent = "";
      fields.replaceChildren(...(own ? NAMES[key].map((name, k) => el("label", {}, name, el("input", { type: "number", step: "any", value: +state.numbers[key][k].toPrecision(6), onchange: (event) => edited(key, k, event.target) }))) : []));
      renew();
    }
    function edited(kind, k, input) {
      const wanted = state.numbers[kind].with ? state.numbers[kind].with(k, parseFloat(input.value)) : Object.assign([...state.numbers[kind]], { [k]: parseFloat(input.value) });
      const wrong = fault(kind, wanted);
      warning.textContent = wrong && `${wrong} The law stays as it was.`;
      if (wrong) return void (input.value = +state.numbers[kind][k].toPrecision(6));
      state.numbers[kind] = wanted;
      renew();
    }

    // -- the sum

    function renew() {
      const { rules, D } = current();
      parts = contributions(state.graph, rules, D);
      total = parts.reduce((sum, p) => sum + p.subtotal, 0);
      const size = Math.max(...parts.flatMap((p) => p.groups.map((g) => Math.abs(g.value))), 0);
      parts.forEach((p) => (p.seen = p.groups.filter((g) => Math.abs(g.value) > 1e-12 * size)));
      steps = [{ sum: 0 }];
      let sum = 0;
      parts.forEach((part, p) => {
        const before = sum;
        if (state.mode === "pairing") {
          sum += part.subtotal;
          steps.push({ p, sum, whole: true });
        } else {
          steps.push({ p, sum });
          for (const group of part.seen) steps.push({ p, group, sum: (sum += group.value) });
          sum = steps.at(-1).sum = before + part.subtotal;
        }
      });
      steps.push({ end: true, sum: total });
      state.step = Math.min(state.step, steps.length - 1);
      build();
      lawTable.update(lawRows(rules));
      all.update(parts.flatMap((part) => part.seen.map((g) => [pairName(part.blocks), classesOf(g.labels), String(g.left), number(g.weight, 5), `D${power(g.left)}`, number(g.value, 5), String(g.terms.length)])));
      go(state.step);
    }
    const classesOf = (labels) => [...new Set(labels)].map((l) => labels.flatMap((m, n) => (m === l ? [LETTERS[n]] : [])).join("=")).join(" ");
    const lawRows = ({ mean, covariance }) => [
      ...mean.map(([p, v]) => [factor(p), `mean, ${MEANING[p]}`, number(v, 5)]),
      ...[...covariance].sort().map(([p, v]) => [factor(p), `covariance, ${MEANING[p]}`, number(v, 5)]),
    ];

    const rows = el("tbody"), formula = el("p", { class: "wk-formula" });
    let bars = [], low = 0, high = 1;
    const share = (x) => Math.min(100, Math.max(0, (100 * (x - low)) / (high - low)));
    function build() {
      const measured = measuredHere();
      const marks = [...steps.map((s) => s.sum), 0];
      [low, high] = [Math.min(...marks), Math.max(...marks)];
      if (low === high) [low, high] = [-1, 1];
      if (measured) { // what was measured is in the picture, as long as the sum stays readable
        const [least, most, room] = [measured[0] - measured[1], measured[0] + measured[1], 0.7 * (high - low)];
        [low, high] = [Math.max(low - room, Math.min(low, least)), Math.min(high + room, Math.max(high, most))];
      }
      const row = (head, text, value, kind) => {
        const bar = el("span", { class: `wk-bar ${kind}` }), done = el("span", { class: "wk-done" }), zero = el("span", { class: "wk-zero" });
        zero.style.left = `${share(0)}%`;
        const track = el("div", { class: "wk-track", "aria-hidden": "true" }, zero, kind === "wk-measured" ? null : done, bar);
        const line = el("tr", {}, el("th", { scope: "row" }, head), el("td", { class: "wk-cell" }, track), el("td", {}, text));
        return { line, bar, done, value };
      };
      let sum = 0;
      bars = parts.map((part, p) => {
        const jump = el("button", { type: "button", class: "wk-jump", onclick: () => go(steps.findIndex((s) => s.p === p)), "aria-label": `Go to pairing ${pairName(part.blocks)}` }, pairName(part.blocks));
        const made = row(jump, number(part.subtotal, 4), part.subtotal, "");
        stretch(made.bar, sum, sum + part.subtotal);
        made.before = sum;
        sum += part.subtotal;
        return made;
      });
      const last = row("Sum", number(total, 4), total, "wk-total");
      stretch(last.bar, 0, total);
      last.before = 0;
      last.line.classList.add("wk-sum");
      bars.push(last);
      const lines = bars.map((b) => b.line);
      if (measured) {
        const [value, error] = measured, made = row(edgesOf(state.graph).length < 3 ? "Measured (fitted)" : "Measured", ex.measured(value, error), value, "wk-measured");
        stretch(made.bar, value - error, value + error);
        if (value > high || value < low) made.bar.classList.add(value > high ? "wk-over" : "wk-under");
        lines.push(made.line);
      }
      rows.replaceChildren(...lines);
      const edges = edgesOf(state.graph), nodes = 1 + Math.max(...edges.flat());
      formula.replaceChildren("Σ", el("sub", {}, [...LETTERS.slice(0, nodes)].join(" ")), " ", ...edges.flatMap(([i, j]) => [el("i", {}, "W"), el("sub", {}, LETTERS[i] + LETTERS[j]), " "]));
    }
    function stretch(bar, from, to) {
      bar.style.left = `${share(Math.min(from, to))}%`;
      bar.style.width = `${Math.abs(share(to) - share(from))}%`;
      bar.classList.toggle("wk-minus", to < from);
    }
    function measuredHere() {
      const law = published(), at = names.indexOf(state.graph);
      return law ? [law.measured[at], law.se[at]] : null;
    }

    // -- stepping

    const words = el("p", { class: "wk-words" }), count = el("span", { class: "wk-count" });
    function describe(step) {
      const { D } = current();
      if (step.end) {
        const law = published(), measured = measuredHere();
        const more = !measured ? "" : edgesOf(state.graph).length < 3
          ? ` The ${law.runs} networks have ${ex.measured(...measured)}: equal but for rounding, since the law is fitted to averages of degree one and two.`
          : ` The ${law.runs} networks have ${ex.measured(...measured)} (standard error of the measurement): to this average nothing was fitted.`;
        return `${parts.length === 1 ? "The one subtotal is" : `The ${parts.length} subtotals add up to`} ${number(total, 5)}, the exact prediction of this law.${more}`;
      }
      if (step.p === undefined) {
        const k = edgesOf(state.graph).length;
        return `${k === 1 ? "One edge" : `${["", "", "Two", "Three", "Four"][k]} edges`}, that is ${k} factor${k > 1 ? "s" : ""} W: ${parts.length} way${parts.length > 1 ? "s" : ""} to split ${k > 1 ? "them" : "it"} into pairs and singles. Each is one row of the sum.`;
      }
      const part = parts[step.p];
      if (step.group) {
        const { labels, left, terms, weight, value } = step.group;
        return `${mergerWords(labels)} ${left} node${left > 1 ? "s are" : " is"} left, ${left > 1 ? "each " : ""}summed over all D values: D${power(left)} = ${whole(D ** left)} ways, each of weight ${weightWords(terms)} = ${number(weight, 4)}. This adds ${signed(value)}.`;
      }
      const nothing = "One of its factors is zero under this law: it adds nothing.";
      const terms = part.groups.reduce((sum, g) => sum + g.terms.length, 0);
      const ways = part.seen.length === 1 ? "all with the same merger" : `collected by what they merge: ${part.seen.length} cases`;
      const inside = !part.seen.length ? nothing : terms === 1 ? "One term." : `${terms} terms, ${ways}.`;
      return `${pairingWords(part.blocks)} ${inside}${step.whole && part.seen.length ? ` Together they add ${signed(part.subtotal)}.` : ""}`;
    }
    function go(to) {
      state.step = Math.min(steps.length - 1, Math.max(0, to));
      const step = steps[state.step], part = parts[step.p];
      const identity = places(state.graph).map((_, n) => n);
      const text = describe(step);
      drawing.show(step.group?.labels ?? identity, part?.blocks, `${label(state.graph)}: ${text}`);
      words.textContent = text;
      if (!quiet) said.say(text);
      count.textContent = `Step ${state.step} of ${steps.length - 1} · running total ${number(step.sum, 4)}`;
      bars.forEach((bar, p) => {
        const at = step.end ? bars.length - 1 : step.p ?? -1, isSum = p === bars.length - 1;
        bar.line.classList.toggle("wk-here", p === at);
        const until = isSum ? (step.end ? total : step.sum) : p < at ? bar.before + bar.value : p === at ? step.sum : bar.before;
        stretch(bar.done, bar.before, until);
        bar.bar.classList.toggle("wk-minus", bar.value < 0);
      });
      back.disabled = state.step === 0;
      next.disabled = state.step === steps.length - 1;
      stepTable.update(step.group ? monomials(step.group.terms).map(([m, w]) => [m, number(w, 5), number(w * current().D ** step.group.left, 5)])
        : part ? part.seen.map((g) => [classesOf(g.labels), number(g.weight, 5), number(g.value, 5)]) : []);
      stepTable.node.hidden = !part || !part.seen.length;
      remember();
    }
    function pairing(direction) {
      const here = steps[state.step].p ?? (steps[state.step].end ? parts.length : -1), to = here + direction;
      go(to < 0 ? 0 : to >= parts.length ? steps.length - 1 : steps.findIndex((s) => s.p === to));
    }
    function play(on) {
      clearInterval(playing);
      playing = 0;
      if (on) {
        if (state.step === steps.length - 1) go(0);
        playing = setInterval(() => {
          go(state.step + 1);
          if (state.step === steps.length - 1) play(false);
        }, 1600);
      }
      player.textContent = on ? "Pause" : "Play";
    }
    const stop = (act) => () => {
      play(false);
      act();
    };
    const back = ex.button("◀ Back", stop(() => go(state.step - 1)));
    const next = ex.button("Next ▶", stop(() => go(state.step + 1)), { class: "ex-main" });
    const player = ex.button("Play", () => play(!playing), { class: "wk-play" });
    const restart = ex.button("Restart", stop(() => go(0)));
    const mode = el("select", { onchange: () => {
      const p = steps[state.step].p, end = steps[state.step].end;
      state.mode = mode.value;
      state.step = 0;
      renew();
      go(end ? steps.length - 1 : p === undefined ? 0 : steps.findIndex((s) => s.p === p));
    } }, el("option", { value: "merge" }, "every merger"), el("option", { value: "pairing" }, "every pairing"));
    const keys = { ArrowRight: () => go(state.step + 1), ArrowLeft: () => go(state.step - 1), ArrowDown: () => pairing(1), ArrowUp: () => pairing(-1), Home: () => go(0), End: () => go(steps.length - 1) };
    const show = el("div", { class: "wk-show", tabindex: "0", role: "group", "aria-label": "The step, drawn. Arrow keys step: right and left by one, down and up by pairing" }, formula, drawing.node);
    show.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const act = event.key === " " ? () => play(!playing) : keys[event.key] && stop(keys[event.key]);
      if (!act) return;
      event.preventDefault();
      act();
    });

    const lawTable = ex.folded("Coefficients of the law. Positions with equal digits have equal indices; others may coincide, too.", ["", "of", "value"], "The law as coefficients");
    const all = ex.folded("Every contribution", ["pairing", "nodes after merging", "left", "weight", "ways", "adds", "terms"], "Every contribution");
    const stepTable = ex.folded("The terms of this step", ["term", "weight", "adds"], "The terms of this step");

    // -- a link to this state

    const keyOfLaw = () => (published() ? state.law : [state.law, state.D, ...state.numbers[state.law]].join("_"));
    function remember() {
      if (!quiet) history.replaceState(null, "", `#wick=${state.graph},${keyOfLaw()},${state.mode},${state.step}`);
    }
    function recall() {
      const [graph, law, how, at] = ex.state("wick").split(",");
      const [kind, D, ...values] = (law ?? "").split("_"), known = values.map(Number);
      if (names.includes(graph)) state.graph = graph;
      if (data.laws.some((l) => l.key === law)) state.law = law;
      else if (KINDS[kind] && known.length === NAMES[kind].length && !fault(kind, known) && +D >= 4 && +D <= 100) {
        [state.law, state.D] = [kind, Math.round(+D)];
        state.numbers[kind] = known;
      }
      if (how === "merge" || how === "pairing") state.mode = how;
      return Number.isInteger(+at) ? +at : 0;
    }
    function restore() {
      quiet = true;
      const at = recall();
      size.set(state.D);
      mode.value = state.mode;
      degree.value = edgesOf(state.graph).length;
      find.value = "";
      fillGallery();
      drawing.open(state.graph);
      chooseLaw(state.law);
      go(at);
      quiet = false;
    }

    stage.append(
      ex.panel("1. Choose a graph and a law",
        el("div", { class: "ex-row" }, el("label", {}, "Edges", degree), el("label", {}, "Find by name or number", find), el("label", { class: "wk-law" }, "Law", lawChoice)),
        none, gallery, size.node, fields, warning),
      el("div", { class: "ex-columns" },
        ex.panel("2. Pair the edges, merge the nodes", show,
          el("div", { class: "wk-controls" }, back, next, player, restart, el("label", {}, "Step by", mode)), count, words, said.node, stepTable.node),
        ex.panel("3. Add it up",
          el("div", { class: "ex-wide" }, el("table", { class: "wk-table" },
            el("caption", {}, "Pairings of the edges, a number alone for a single: what each adds, from the running total before it to that after it"),
            el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "pairing"), el("th", { scope: "col" }, el("span", { class: "ex-hidden" }, "drawn")), el("th", { scope: "col" }, "adds"))), rows)),
          all.node, lawTable.node)),
    );
    restore();
    const follow = () => {
      if (!location.hash.startsWith("#wick=")) return;
      restore();
      stage.scrollIntoView();
    };
    addEventListener("hashchange", follow);
    document.querySelectorAll("[data-state]").forEach((words) => { // places in the text: links, once there is something to go to
      words.replaceWith(el("a", { href: words.dataset.state }, ...words.childNodes));
    });
  }

  ex.load("wick-sum.js").then(() => ex.load("wick-drawing.js")).then(() => ex.explorable("wick", start));
})();
