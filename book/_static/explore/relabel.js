// Relabel me: permute the neurons of a small matrix, and see which numbers notice.
(() => {
  "use strict";
  const core = window.pigmmExplore;
  const { el, fixed } = core;

  const LETTERS = "ABCDEFGH";

  /** W with its rows and columns in a new order: entry (i, j) is W[rows[i]][columns[j]]. */
  const permuted = (W, rows, columns) => rows.map((i) => columns.map((j) => W[i][j]));

  /** A list with the item at place from moved to place to. */
  function moved(list, from, to) {
    const next = [...list];
    next.splice(to, 0, ...next.splice(from, 1));
    return next;
  }

  /** Numbers that are not invariant: they know what stands first. */
  const at = (index) => core.symbol("W", index);
  const OTHERS = [
    { key: "corner", title: () => [at("11")], words: "the entry in the corner", value: (W) => W[0][0] },
    { key: "first", title: () => [el("span", {}, "Σ", el("sub", {}, "j"), " |"), at("1j"), "|"], words: "sizes in the first row", value: (W) => weights(W)[0] },
    { key: "minor", title: () => [at("11"), at("22"), " − ", at("12"), at("21")], words: "determinant of the top left 2 × 2", value: (W) => W[0][0] * W[1][1] - W[0][1] * W[1][0] },
    { key: "above", title: () => [el("span", {}, "Σ", el("sub", {}, "i<j"), " "), at("ij")], words: "sum above the diagonal", value: (W) => W.reduce((sum, row, i) => sum + row.slice(i + 1).reduce((a, b) => a + b, 0), 0) },
  ];

  /** The largest trace that separate relabellings can reach: the best assignment of columns to rows. */
  function largestTrace(W) {
    const D = W.length, best = new Map([[0, 0]]); // from the set of columns already used (bits) to the best sum
    for (const row of W) {
      const next = new Map();
      for (const [used, sum] of best) {
        for (let j = 0; j < D; j++) {
          if (used & (1 << j)) continue;
          const key = used | (1 << j);
          next.set(key, Math.max(next.get(key) ?? -Infinity, sum + row[j]));
        }
      }
      best.clear();
      next.forEach((sum, key) => best.set(key, sum));
    }
    return best.get((1 << D) - 1);
  }

  const trace = (W) => W.reduce((sum, row, i) => sum + row[i], 0);
  const weights = (W) => W.map((row) => row.reduce((sum, w) => sum + Math.abs(w), 0));

  /** A matrix of whole numbers from −9 to 9, so that all sums are exact; no challenge is met by it as it stands. */
  function wholeNumbers(D, seed) {
    const stream = core.random(seed);
    for (;;) {
      const W = core.matrix(D, () => Math.max(-9, Math.min(9, Math.round(4 * stream.normal()))));
      const top = Math.max(...W.flat());
      if (W.every((row, i) => row[i] < top) && trace(W) < largestTrace(W) && weights(W)[0] < Math.max(...weights(W))) return W;
    }
  }

  core.relabel = { permuted, moved, wholeNumbers, others: OTHERS, largestTrace };

  const CHALLENGES = [
    {
      title: "Change tr W.",
      done: ({ W, now }) => trace(now) !== trace(W),
      together: "Impossible. A diagonal entry belongs to one neuron on both sides; relabelling moves it along the diagonal and never off it.",
      separate: "Rows and columns now move by themselves, so almost any move takes entries off the diagonal.",
    },
    {
      title: "Bring the largest (most positive) entry into the corner W₁₁.",
      done: ({ W, now }) => now[0][0] === Math.max(...W.flat()),
      together: "Impossible here. The largest entry joins two different neurons, so it never reaches the diagonal, and the corner is on the diagonal.",
      separate: "Move its row to the top and its column to the left.",
    },
    {
      title: "Make tr W as large as you can.",
      done: ({ now, best }) => trace(now) === best,
      together: "tr W is an invariant of relabelling together: it stays what it is. Switch to “separately”.",
      separate: "This is the assignment problem: choose one entry in each row and each column.",
    },
    {
      title: "Put the heaviest row (largest sum of sizes) first.",
      done: ({ now }) => weights(now)[0] === Math.max(...weights(now)),
      together: "Possible: this number looks at what stands first, so it is no invariant. Move that row to the top, and its column comes along.",
      separate: "Possible: move that row to the top.",
    },
  ];

  core.explorable("relabel", (stage) => {
    const data = core.data.relabel;
    const state = { D: 5, seed: 1, together: true, rows: [], columns: [], past: [], chosen: null, tries: 0 };
    const shuffles = core.random(2026);
    const { node: said, say } = core.announcer();
    let W = [], before = [], beforeOthers = [], best = 0;

    // -- the board: cells stay what they are, and only their places change
    const board = el("div", { class: "rl-board", role: "group", "aria-label": "The matrix; its handles are the labels of rows and columns" });
    let cells = [], handles = { row: [], column: [] };
    const label = (side, k) => (side === "column" && !state.together ? LETTERS[k].toLowerCase() : LETTERS[k]);
    const order = (side) => (side === "row" ? state.rows : state.columns);

    function build() {
      W = wholeNumbers(state.D, state.seed);
      best = largestTrace(W);
      before = data.invariants.map(({ name }) => core.invariant(name, W));
      beforeOthers = OTHERS.map(({ value }) => value(W));
      const limit = core.largest(W);
      const text = (w) => String(w).replace("-", "−");
      cells = core.matrix(state.D, (i, j) => {
        const cell = el("div", { class: "rl-cell", "aria-hidden": "true" }, el("span", {}, text(W[i][j])));
        cell.firstChild.style.background = core.diverging((0.4 * W[i][j]) / limit); // pale enough for its number
        return cell;
      });
      for (const side of ["row", "column"]) handles[side] = Array.from({ length: state.D }, (_, k) => handle(side, k));
      board.style.setProperty("--rl-size", state.D + 1);
      board.replaceChildren(...cells.flat(), ...handles.row, ...handles.column);
      restart();
    }
    function restart() {
      state.rows = W.map((_, k) => k);
      state.columns = W.map((_, k) => k);
      state.past = [];
      state.chosen = null;
      state.tries = 0;
      draw();
    }

    // -- handles: drag them, or use the arrow keys
    function handle(side, k) {
      let dragged = false;
      const node = core.button("", () => dragged || choose(side, k), { class: `rl-handle rl-${side}` });
      const [back, on] = side === "row" ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
      node.addEventListener("keydown", (event) => {
        dragged = false; // the click that ends a drag is no choice, but any later one is
        const at = order(side).indexOf(k), last = state.D - 1;
        const to = { [back]: at - 1, [on]: at + 1, Home: 0, End: last }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        if (to < 0 || to > last) return;
        move(side, at, to);
        node.focus();
      });
      node.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        node.setPointerCapture(event.pointerId);
        remember();
        dragged = false;
        const begun = state.past.length;
        const follow = (to) => {
          const box = board.getBoundingClientRect(), unit = box.width / (state.D + 1);
          const along = side === "row" ? to.clientY - box.top : to.clientX - box.left;
          const place = Math.max(0, Math.min(state.D - 1, Math.floor(along / unit) - 1));
          const at = order(side).indexOf(k);
          if (place === at) return;
          dragged = true;
          move(side, at, place, false);
        };
        const stop = () => {
          node.removeEventListener("pointermove", follow);
          node.removeEventListener("pointerup", stop);
          node.removeEventListener("pointercancel", stop);
          const [rows, columns] = state.past[begun - 1];
          if (String(rows) === String(state.rows) && String(columns) === String(state.columns)) state.past.pop();
          draw();
        };
        node.addEventListener("pointermove", follow);
        node.addEventListener("pointerup", stop);
        node.addEventListener("pointercancel", stop);
      });
      return node;
    }
    const remember = () => state.past.push([state.rows, state.columns]);

    function move(side, from, to, step = true) {
      if (step) remember();
      if (state.together || side === "row") state.rows = moved(state.rows, from, to);
      if (state.together || side === "column") state.columns = moved(state.columns, from, to);
      state.tries++;
      draw();
      const k = order(side)[to];
      say(`${state.together ? "Neuron" : side === "row" ? "Row" : "Column"} ${label(side, k)} is now number ${to + 1}. ${summary()}`);
    }
    function choose(side, k) {
      state.chosen = state.chosen && state.chosen.side === side && state.chosen.k === k ? null : { side, k };
      draw();
    }
    function nudge(by) {
      const { side, k } = state.chosen, at = order(side).indexOf(k), to = at + by;
      if (to >= 0 && to < state.D) move(side, at, to);
    }

    // -- buttons
    const earlier = core.button("◀ Earlier", () => nudge(-1)), later = core.button("Later ▶", () => nudge(1));
    const chosenWords = el("p", { class: "ex-soft rl-chosen" });
    const undo = core.button("Undo", () => {
      [state.rows, state.columns] = state.past.pop();
      draw();
      say(`Undone. ${summary()}`);
    });
    const shuffle = core.button("Shuffle", () => {
      remember();
      const [rows, columns] = [state.rows, state.columns];
      do state.rows = shuffles.shuffled(rows); while (String(state.rows) === String(rows));
      if (state.together) state.columns = state.rows;
      else do state.columns = shuffles.shuffled(columns); while (String(state.columns) === String(columns));
      state.tries++;
      draw();
      say(`Shuffled. ${summary()}`);
    }, { class: "ex-main" });
    const reset = core.button("Start again", () => {
      restart();
      say("Everything is back where it was.");
    });
    const modes = [true, false].map((together) =>
      core.button(together ? "Together" : "Separately", () => {
        if (state.together === together) return;
        state.together = together;
        restart();
        say(together ? "Rows and columns are the same neurons, and move together." : "Rows and columns are different neurons, and move separately.");
      }),
    );
    const sizes = el("select", { onchange: () => ((state.D = +sizes.value), build(), say(`A matrix of size ${state.D}.`)) },
      ...[4, 5, 6, 7, 8].map((D) => el("option", { value: D, selected: D === state.D }, `${D} × ${D}`)));
    const another = core.button("Another matrix", () => {
      state.seed++;
      build();
      say("Another matrix.");
    });

    // -- the list
    const symbolOf = (alias) => (alias ? [core.symbol("I", alias), " "] : []);
    function row({ name, alias, words, drawing, bipartite, title, two_sided: twoSided }) {
      const cell = { was: el("td"), value: el("span", { class: "rl-value" }), mark: el("span", { class: "rl-mark" }) };
      const pictures = drawing ? [core.drawn(drawing)] : [el("span", { class: "rl-formula" }, ...title())];
      if (bipartite) pictures.push(core.drawn(bipartite));
      const text = name ? [...symbolOf(alias), el("code", {}, name)] : [];
      const head = el("th", { scope: "row" }, el("span", { class: "rl-what" }, el("span", { class: "rl-picture" }, ...pictures), el("span", {}, ...text, el("span", { class: "rl-words" }, words))));
      const node = el("tr", {}, head, cell.was, el("td", { class: "rl-now" }, cell.value, " ", cell.mark));
      if (name) node.dataset.name = name;
      return { node, ...cell, pictures, twoSided };
    }
    const invariantRows = data.invariants.map(row), otherRows = OTHERS.map(row);
    otherRows.forEach(({ node }, k) => (node.dataset.name = OTHERS[k].key));
    const group = (title, rows) =>
      el("tbody", {}, el("tr", { class: "rl-group" }, el("th", { colspan: 3, scope: "rowgroup" }, title)), ...rows.map(({ node }) => node));
    const of = (degrees) => invariantRows.filter((_, k) => degrees.includes(data.invariants[k].degree));
    const table = el("table", { class: "rl-list" },
      el("caption", { class: "ex-hidden" }, "Values before and after relabelling"),
      el("thead", {}, el("tr", {}, ...["number", "before", "now"].map((title) => el("th", { scope: "col" }, title)))),
      group("Linear: 2", of([1])), group("Quadratic: 11", of([2])), group("Some cubic and quartic ones", of([3, 4])), group("No invariants", otherRows));
    const verdict = el("p", { class: "rl-verdict" });

    // -- challenges
    const challenges = CHALLENGES.map(({ title, together, separate }) => {
      const status = el("b"), why = el("p");
      const ask = el("summary");
      const details = el("details", {}, ask, why);
      return { node: el("li", {}, el("span", {}, title, " "), status, details), status, ask, why, details, together, separate };
    });
    const matrixTable = core.folded("Entries of the matrix as it stands, row by row", ["", ...LETTERS], "The matrix in numbers");

    function summary() {
      const { changed } = latest;
      return changed ? `${changed} of ${data.invariants.length} graphs have changed their value.` : "No graph has changed its value.";
    }
    let latest = { changed: 0 };
    const text = (x) => fixed(x, 0);

    function mark(cells, was, is, kept) {
      const same = was === is;
      cells.was.textContent = text(was);
      cells.value.textContent = text(is);
      cells.mark.textContent = same ? (kept ? "✓ stays" : "= same here") : "≠ moved";
      cells.node.className = same ? (kept ? "rl-stays" : "rl-same") : "rl-moved";
      return !same;
    }

    function draw() {
      const now = permuted(W, state.rows, state.columns);
      const rowAt = state.rows.map((_, k) => state.rows.indexOf(k)), columnAt = state.columns.map((_, k) => state.columns.indexOf(k));
      const put = (node, i, j) => (node.style.transform = `translate(${100 * j}%, ${100 * i}%)`);
      cells.forEach((row, i) => row.forEach((cell, j) => put(cell, rowAt[i] + 1, columnAt[j] + 1)));
      for (const side of ["row", "column"]) {
        handles[side].forEach((node, k) => {
          const at = (side === "row" ? rowAt : columnAt)[k];
          put(node, side === "row" ? at + 1 : 0, side === "row" ? 0 : at + 1);
          node.textContent = label(side, k);
          const what = state.together ? `Neuron ${label(side, k)}, ${side} ${at + 1}` : `${side === "row" ? "Row" : "Column"} ${label(side, k)}, number ${at + 1}`;
          node.setAttribute("aria-label", `${what} of ${state.D}; arrow keys move it`);
          const chosen = state.chosen && state.chosen.k === k && (state.together || state.chosen.side === side);
          node.setAttribute("aria-pressed", String(Boolean(chosen)));
        });
      }
      const values = data.invariants.map(({ name }) => core.invariant(name, now));
      const changed = invariantRows.map((cells, k) => mark(cells, before[k], values[k], state.together || cells.twoSided));
      OTHERS.forEach(({ value }, k) => mark(otherRows[k], beforeOthers[k], value(now), false));
      latest = { changed: changed.filter(Boolean).length };
      invariantRows.forEach(({ pictures, twoSided }) => {
        if (!twoSided) return;
        pictures[0].hidden = !state.together;
        pictures[1].hidden = state.together;
      });
      const quadratic = data.invariants.map(({ degree }, k) => degree === 2 && changed[k]).filter(Boolean).length;
      verdict.textContent = state.together
        ? state.tries
          ? `All ${data.invariants.length} graphs keep their value: each is a sum over all neurons, and does not know their names. The four numbers at the end look at what stands where.`
          : "Guess first: which of these numbers will change when a neuron gets another place? Then move one."
        : state.tries
          ? `${quadratic} of the 11 quadratic graphs have moved. What must stay are those in which no index is both a row and a column (drawn in two lines: rows above, columns below).`
          : "Now rows and columns belong to different neurons. Guess which numbers will stay, then move a row.";
      modes.forEach((node, k) => node.setAttribute("aria-pressed", String((k === 0) === state.together)));
      undo.disabled = state.past.length === 0;
      earlier.disabled = later.disabled = !state.chosen;
      chosenWords.textContent = state.chosen
        ? `${state.together ? "Neuron" : state.chosen.side === "row" ? "Row" : "Column"} ${label(state.chosen.side, state.chosen.k)} is chosen.`
        : "Drag a letter; or choose one, and use the arrow keys or these buttons:";
      CHALLENGES.forEach(({ done }, k) => {
        const solved = done({ W, now, best });
        challenges[k].status.textContent = solved ? "✓ done" : k === 2 ? `○ ${text(trace(now))} of ${text(best)}` : "○ not yet";
        challenges[k].ask.textContent = solved ? "Why?" : "Give up?";
        challenges[k].node.className = solved ? "rl-done" : "";
        challenges[k].why.textContent = state.together ? challenges[k].together : challenges[k].separate;
      });
      matrixTable.update(now.map((row, i) => [label("row", state.rows[i]), ...row.map(text)]));
      stage.dataset.moves = state.tries;
    }

    stage.append(
      el("div", { class: "rl-desk" },
        el("div", { class: "rl-side" },
          core.panel("The matrix",
            el("div", { class: "ex-row rl-modes", role: "group", "aria-label": "Rows and columns move" }, el("span", { class: "rl-wide" }, "Rows and columns move"), ...modes),
            board, chosenWords, el("div", { class: "ex-row" }, earlier, later),
            el("div", { class: "ex-row rl-buttons" }, shuffle, undo, reset),
            el("div", { class: "ex-row rl-buttons" }, el("label", {}, "Size", sizes), another),
            matrixTable.node),
          core.panel("Can you …", el("ul", { class: "rl-challenges" }, ...challenges.map(({ node }) => node)))),
        core.panel("Who notices?", verdict, said, el("div", { class: "ex-wide", tabindex: "0", role: "region", "aria-label": "Values before and after" }, table))),
    );
    said.classList.add("ex-hidden");
    build();
  });
})();
