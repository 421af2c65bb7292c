// The 13 knobs: a matrix drawn from the permutation-invariant Gaussian law, while its thirteen parameters are turned.
(() => {
  "use strict";
  const core = window.pigmmExplore;
  const { el, svg, number, fixed } = core;

  // ---- the law: f is the list f1 … f13, so f[0] is f1

  const UPPER = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]; // where f6 … f11 stand in T
  const trivial = (f) => [[f[2], f[3]], [f[3], f[4]]];
  function standard(f) {
    const T = core.matrix(3, () => 0);
    UPPER.forEach(([a, b], k) => (T[a][b] = T[b][a] = f[5 + k]));
    return T;
  }

  /** Eigenvalues and orthonormal eigenvectors (columns) of a small symmetric matrix, by Jacobi's rotations. */
  function symmetricEigen(S) {
    const n = S.length, A = S.map((row) => [...row]), V = core.matrix(n, (i, j) => +(i === j));
    for (let sweep = 0; sweep < 40; sweep++) {
      let off = 0;
      for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) off += Math.abs(A[p][q]);
      if (off === 0) break;
      for (let p = 0; p < n; p++) {
        for (let q = p + 1; q < n; q++) {
          if (A[p][q] === 0) continue;
          const slope = (A[q][q] - A[p][p]) / (2 * A[p][q]);
          const t = (slope < 0 ? -1 : 1) / (Math.abs(slope) + Math.hypot(slope, 1));
          const c = 1 / Math.hypot(t, 1), s = t * c;
          for (let k = 0; k < n; k++) [A[k][p], A[k][q]] = [c * A[k][p] - s * A[k][q], s * A[k][p] + c * A[k][q]];
          for (let k = 0; k < n; k++) [A[p][k], A[q][k]] = [c * A[p][k] - s * A[q][k], s * A[p][k] + c * A[q][k]];
          for (let k = 0; k < n; k++) [V[k][p], V[k][q]] = [c * V[k][p] - s * V[k][q], s * V[k][p] + c * V[k][q]];
          A[p][q] = A[q][p] = 0;
        }
      }
    }
    return { values: A.map((row, k) => row[k]), vectors: V };
  }

  /** The symmetric square root of a covariance. */
  function root(S) {
    const { values, vectors: V } = symmetricEigen(S);
    const scale = values.map((value) => Math.sqrt(Math.max(value, 0)));
    return core.matrix(S.length, (i, j) => scale.reduce((sum, s, k) => sum + V[i][k] * s * V[j][k], 0));
  }

  /** Is there a Gaussian law with these parameters? The rule of pigmm.GaussianMatrixModel: no block is indefinite. */
  function valid(f) {
    return f.every(Number.isFinite) && [trivial(f), standard(f), [[f[11]]], [[f[12]]]].every((block) => {
      const { values } = symmetricEigen(block);
      const low = Math.min(...values), high = Math.max(...values);
      return low >= -1e-10 * Math.max(Math.abs(low), Math.abs(high));
    });
  }

  const LEAST = 1e-6; // of a variance
  const SHY = 1e-6; // how far from the edge we stay, relative to the allowed interval

  /** The interval [low, high] in which knob k may move while the others stay: there the law is positive definite. */
  function allowed(f, k) {
    if (k < 2) return [-Infinity, Infinity];
    if (k > 10) return [LEAST, Infinity];
    const least = (bound) => [Math.max(LEAST, bound * (1 + SHY)), Infinity];
    const around = (middle, reach) => [middle - reach * (1 - SHY), middle + reach * (1 - SHY)];
    if (k === 3) return around(0, Math.sqrt(f[2] * f[4]));
    if (k < 5) return least(f[3] ** 2 / f[6 - k]);
    const T = standard(f), [a, b] = UPPER[k - 5];
    if (a !== b) {
      const c = 3 - a - b; // determinant ≥ 0, solved for T_ab
      const left = T[a][a] - T[a][c] ** 2 / T[c][c], right = T[b][b] - T[b][c] ** 2 / T[c][c];
      return around((T[a][c] * T[b][c]) / T[c][c], Math.sqrt(Math.max(left * right, 0)));
    }
    const [p, q] = [0, 1, 2].filter((other) => other !== a);
    const minor = T[p][p] * T[q][q] - T[p][q] ** 2;
    return least((T[q][q] * T[a][p] ** 2 - 2 * T[p][q] * T[a][p] * T[a][q] + T[p][p] * T[a][q] ** 2) / minor);
  }

  // ---- sampling: coordinates of the irreps 2 V0 + 3 VH + V2 + V3, as in pigmm.irreps

  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
  const centred = (list) => {
    const middle = mean(list);
    return list.map((x) => x - middle);
  };

  /** The part of a matrix in 2 V0 + 3 VH, from the numbers x1, x2 and the lists u1, u2, u3. */
  function vectorPart(x, u, D) {
    const g = Math.sqrt(D / (D - 2)), onDiagonal = x[1] / Math.sqrt(D - 1), everywhere = (x[0] - onDiagonal) / D;
    const byRow = u[1].map((value, i) => value / Math.sqrt(D) - (g * u[2][i]) / D);
    const byColumn = u[0].map((value, j) => value / Math.sqrt(D) - (g * u[2][j]) / D);
    return core.matrix(D, (i, j) => everywhere + byRow[i] + byColumn[j] + (i === j ? onDiagonal + g * u[2][i] : 0));
  }

  /** Coordinates of a matrix: x (2 numbers), u (3 lists whose sums are zero), and the rests S and A as matrices. */
  function project(W) {
    const D = W.length, rows = core.rowSums(W), columns = core.columnSums(W), diagonal = W.map((row, i) => row[i]);
    const total = rows.reduce((a, b) => a + b, 0), trace = diagonal.reduce((a, b) => a + b, 0);
    const x = [total / D, (trace - total / D) / Math.sqrt(D - 1)];
    const g = Math.sqrt(D / (D - 2));
    const u = [
      centred(columns.map((c) => c / Math.sqrt(D))),
      centred(rows.map((r) => r / Math.sqrt(D))),
      centred(diagonal.map((d, i) => g * (d - (rows[i] + columns[i]) / D))),
    ];
    const vectors = vectorPart(x, u, D);
    const rest = core.matrix(D, (i, j) => W[i][j] - vectors[i][j]);
    const S = core.matrix(D, (i, j) => (rest[i][j] + rest[j][i]) / 2);
    return { x, u, S, A: core.matrix(D, (i, j) => rest[i][j] - S[i][j]) };
  }

  /** From the projected noise of a matrix of independent standard normal numbers to a matrix drawn from the law. */
  function sampler(f, D) {
    const S = root(trivial(f)), T = root(standard(f)), s = Math.sqrt(f[11]), a = Math.sqrt(f[12]);
    return (noise) => {
      const x = [0, 1].map((k) => f[k] + S[k][0] * noise.x[0] + S[k][1] * noise.x[1]);
      const u = T.map((row) => noise.u[0].map((_, i) => row.reduce((sum, t, b) => sum + t * noise.u[b][i], 0)));
      const W = vectorPart(x, u, D);
      W.forEach((row, i) => row.forEach((_, j) => (row[j] += s * noise.S[i][j] + a * noise.A[i][j])));
      return W;
    };
  }
  /** The matrix that the law f makes of a matrix of independent standard normal numbers. */
  const sample = (f, Z) => sampler(f, Z.length)(project(Z));

  // ---- the thirteen linear and quadratic invariants I1 … I13: of a matrix, and their exact expectations

  function invariants(W) {
    const r = core.rowSums(W), c = core.columnSums(W), d = W.map((row, i) => row[i]);
    const dot = (p, q) => p.reduce((sum, value, i) => sum + value * q[i], 0);
    const s = r.reduce((a, b) => a + b, 0), t = d.reduce((a, b) => a + b, 0);
    let norm = 0, square = 0;
    W.forEach((row, i) => row.forEach((w, j) => ((norm += w * w), (square += w * W[j][i]))));
    return [t, s, norm, square, dot(d, r), dot(d, c), dot(r, r), dot(c, c), dot(r, c), s * s, dot(d, d), t * t, t * s];
  }

  function expectations(f, D) {
    const w = Math.sqrt(D - 1), g = Math.sqrt(D / (D - 2)), n = D - 1;
    const x11 = f[2] + f[0] ** 2, x12 = f[3] + f[0] * f[1], x22 = f[4] + f[1] ** 2; // ⟨x_a x_b⟩
    const [u11, u12, u13, u22, u23, u33] = f.slice(5, 11).map((T) => n * T); // ⟨u_a · u_b⟩
    const S = ((D * (D - 3)) / 2) * f[11], A = (((D - 1) * (D - 2)) / 2) * f[12]; // ⟨|S|²⟩, ⟨|A|²⟩
    const ss = D * D * x11, ts = D * (x11 + w * x12), tt = x11 + 2 * w * x12 + w * w * x22; // s = D x1, t = x1 + w x2
    const vectors = x11 + x22 + u33; // a transposition exchanges u1 and u2, and turns the sign of A
    return [
      f[0] + w * f[1],
      D * f[0],
      vectors + u11 + u22 + S + A,
      vectors + 2 * u12 + S - A,
      (Math.sqrt(D) * u23) / g + u12 + u22 + ts / D,
      (Math.sqrt(D) * u13) / g + u11 + u12 + ts / D,
      D * u22 + ss / D,
      D * u11 + ss / D,
      D * u12 + ss / D,
      ss,
      u33 / g ** 2 + (2 * (u13 + u23)) / (g * Math.sqrt(D)) + (u11 + 2 * u12 + u22) / D + tt / D,
      tt,
      ts,
    ];
  }

  /** Which of the thirteen expectations knob k moves, for general values of the others. */
  function moves(k, D) {
    const f = [1, 1, 3, 0, 3, 3, 0, 0, 3, 0, 3, 3, 3], turned = [...f];
    turned[k] += 1;
    const before = expectations(f, D), after = expectations(turned, D);
    return before.map((value, i) => Math.abs(after[i] - value) > 1e-9);
  }

  // ---- eigenvalues of a real square matrix

  /** Householder reflections that make W zero below its first subdiagonal, without changing its eigenvalues. */
  function hessenberg(W) {
    const n = W.length, H = W.map((row) => [...row]);
    for (let k = 0; k < n - 2; k++) {
      const norm = Math.hypot(...H.slice(k + 1).map((row) => row[k]));
      if (norm === 0) continue;
      const v = H.map((row, i) => (i > k ? row[k] : 0));
      v[k + 1] += v[k + 1] < 0 ? -norm : norm;
      const length = v.reduce((sum, x) => sum + x * x, 0);
      for (let j = 0; j < n; j++) {
        const share = (2 / length) * v.reduce((sum, x, i) => sum + x * H[i][j], 0);
        for (let i = k + 1; i < n; i++) H[i][j] -= share * v[i];
      }
      for (let i = 0; i < n; i++) {
        const share = (2 / length) * v.reduce((sum, x, j) => sum + H[i][j] * x, 0);
        for (let j = k + 1; j < n; j++) H[i][j] -= share * v[j];
      }
      for (let i = k + 2; i < n; i++) H[i][k] = 0;
    }
    return H;
  }

  /**
   * All eigenvalues as pairs [real, imaginary]: QR steps on the Hessenberg form in complex arithmetic, with Wilkinson's
   * shift; an eigenvalue is taken off whenever a subdiagonal entry has become negligible.
   */
  function eigenvalues(W) {
    const n = W.length, H = hessenberg(W).map((row) => row.map((x) => [x, 0]));
    const times = (p, q) => [p[0] * q[0] - p[1] * q[1], p[0] * q[1] + p[1] * q[0]];
    const plus = (p, q) => [p[0] + q[0], p[1] + q[1]], minus = (p, q) => [p[0] - q[0], p[1] - q[1]];
    const star = (p) => [p[0], -p[1]], size = (p) => Math.hypot(p[0], p[1]), by = (p, x) => [p[0] * x, p[1] * x];
    const squareRoot = (p) => {
      const r = Math.sqrt((size(p) + Math.abs(p[0])) / 2);
      if (r === 0) return [0, 0];
      return p[0] >= 0 ? [r, p[1] / (2 * r)] : [Math.abs(p[1]) / (2 * r), p[1] < 0 ? -r : r];
    };
    const scale = Math.max(core.largest(W), Number.MIN_VALUE);
    let end = n - 1, tries = 0;
    const found = [];
    while (end >= 0) {
      let start = end;
      while (start > 0) {
        const near = size(H[start][start]) + size(H[start - 1][start - 1]);
        if (size(H[start][start - 1]) <= 2.3e-16 * (near || scale)) break;
        start--;
      }
      if (start > 0) H[start][start - 1] = [0, 0];
      if (start === end) {
        found.push(H[end][end]);
        end--;
        tries = 0;
        continue;
      }
      if (++tries > 60 * n) return W.map(() => [NaN, NaN]);
      const corner = H[end][end];
      let shift;
      if (tries % 11 === 10) shift = plus(corner, [size(H[end][end - 1]), 0]);
      else { // the eigenvalue of the last 2 × 2 block that is nearer to its corner
        const half = by(minus(H[end - 1][end - 1], corner), 0.5);
        const turn = squareRoot(plus(times(half, half), times(H[end][end - 1], H[end - 1][end])));
        const options = [plus(plus(corner, half), turn), minus(plus(corner, half), turn)];
        shift = size(minus(options[0], corner)) < size(minus(options[1], corner)) ? options[0] : options[1];
      }
      for (let k = start; k <= end; k++) H[k][k] = minus(H[k][k], shift);
      const turns = [];
      for (let k = start; k < end; k++) {
        const p = H[k][k], q = H[k + 1][k], r = Math.hypot(size(p), size(q)) || 1;
        const c = by(p, 1 / r), s = by(q, 1 / r);
        turns.push([c, s]);
        for (let j = k; j <= end; j++) {
          const upper = H[k][j], lower = H[k + 1][j];
          H[k][j] = plus(times(star(c), upper), times(star(s), lower));
          H[k + 1][j] = minus(times(c, lower), times(s, upper));
        }
      }
      turns.forEach(([c, s], at) => {
        const k = start + at;
        for (let i = start; i <= Math.min(k + 1, end); i++) {
          const left = H[i][k], right = H[i][k + 1];
          H[i][k] = plus(times(left, c), times(right, s));
          H[i][k + 1] = minus(times(right, star(c)), times(left, star(s)));
        }
      });
      for (let k = start; k <= end; k++) H[k][k] = plus(H[k][k], shift);
    }
    return found.reverse();
  }

  core.knobs = { valid, allowed, sample, project, invariants, expectations, moves, eigenvalues, symmetricEigen, root };

  // ---- the page

  const DRAWS = 1000, CLOUD = 100; // matrices in the average, and those whose eigenvalues make the cloud
  const independent = (variance) => [0, 0, variance, 0, variance, variance, 0, 0, variance, 0, variance, variance, variance];
  const STARTS = {
    gaussian: { title: "Gaussian start: variance 1/D", law: (D) => independent(1 / D) },
    uniform: { title: "uniform start: variance 1/(3D)", law: (D) => independent(1 / (3 * D)) },
  };
  const V = (index) => core.symbol("V", index);
  const GROUPS = [
    { title: "Means", where: ["the two copies of ", V(0)], from: 0, to: 2 },
    { title: "Whole-matrix fluctuations", where: ["covariance of the two copies of ", V(0)], from: 2, to: 5 },
    { title: "Neuron by neuron", where: ["covariance ", el("i", {}, "T"), " of the three copies of ", V("H")], from: 5, to: 11 },
    { title: "What is left", where: [V(2), " and ", V(3)], from: 11, to: 13 },
  ];
  const RANGE = (k) => (k < 2 ? [-2, 2, 0.02] : [3, 6, 7, 9].includes(k) ? [-0.5, 0.5, 0.002] : [0, 0.5, 0.002]);
  const LIMIT = { one: 1.2, average: 0.4 }; // of the colours: fixed, so that one sees what grows
  const f = (k) => core.symbol("f", k + 1);
  const plain = (k) => "f" + [...String(k + 1)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");

  core.explorable("knobs", (stage) => {
    const data = core.data.knobs;
    const state = { D: 6, seed: 1, f: STARTS.gaussian.law(6), view: "one", knob: 0, start: null, preset: "gaussian", film: null };
    state.start = expectations(state.f, state.D);
    const { node: said, say } = core.announcer();
    said.classList.add("ex-hidden"); // those who see, see

    // -- noise: drawn once for each seed and size, so that turning a knob changes the law and nothing else
    let noise = [], noiseOf = "";
    function drawn() {
      const key = `${state.seed} ${state.D}`;
      if (key !== noiseOf) {
        const stream = core.random(state.seed);
        noise = Array.from({ length: DRAWS }, () => project(stream.matrix(state.D)));
        noiseOf = key;
      }
      return noise;
    }

    // -- presets
    const presets = el(
      "select", { onchange: () => choose(presets.value) },
      el("optgroup", { label: "Before training" },
        ...Object.entries(STARTS).map(([key, { title }]) => el("option", { value: key }, title))),
      el("optgroup", { label: "Fitted to trained networks (D = 10)" },
        ...data.archives.map(({ name, title }) => el("option", { value: name }, title))),
      el("option", { value: "own", hidden: true }, "your own"),
    );
    const layers = el("select", { onchange: () => fromFilm() });
    const epoch = core.slider({
      label: "Epoch", name: "Epoch", min: 0, max: 50, step: 1, value: 0,
      onchange: (value) => (fromFilm(Math.round(value)), Math.round(value)),
    });
    const training = el("div", { class: "ex-row kn-training", hidden: true }, el("label", {}, "Layer", layers), epoch.node);
    const sizes = el(
      "select", { onchange: () => resize(+sizes.value) },
      ...[4, 5, 6, 7, 8, 9, 10].map((D) => el("option", { value: D, selected: D === state.D }, `${D} × ${D}`)),
    );
    const missing = el("p", { class: "ex-soft", role: "status" });
    const seed = el("input", { type: "number", min: 0, max: 4294967295, step: 1, value: state.seed, onchange: () => reseed(parseFloat(seed.value)) });

    function choose(key) {
      state.preset = key;
      missing.textContent = "";
      if (key === "own") return;
      if (STARTS[key]) {
        training.hidden = true;
        state.film = null;
        take(STARTS[key].law(state.D), STARTS[key].title);
        return;
      }
      core.load(`data-knobs-${key}.js`).then(() => {
        if (state.preset !== key) return;
        const film = data.films[key];
        state.film = film;
        layers.replaceChildren(
          ...Object.keys(film.layers).map((layer) => el("option", { value: layer }, `${layer}: ${film.roles[layer]}`)),
        );
        const last = film.layers[layers.value].length - 1;
        epoch.range.max = epoch.field.max = last;
        training.hidden = false;
        epoch.set(last);
        fromFilm();
      }).catch((error) => {
        if (state.preset !== key) return;
        state.preset = presets.value = "own";
        missing.textContent = `This law cannot be shown: ${error.message}. The knobs stay as they are.`;
      });
    }
    function fromFilm(at = epoch.value) {
      const { film } = state;
      state.D = film.dims[layers.value];
      sizes.value = state.D;
      presets.value = state.preset = data.archives.find(({ name }) => data.films[name] === film).name;
      take(film.layers[layers.value][at], `${film.title}, ${layers.value}, epoch ${at}`);
    }
    function take(parameters, title) {
      state.f = [...parameters];
      state.start = expectations(state.f, state.D);
      warn();
      draw();
      say(`All knobs set: ${title}.`);
    }
    function own() {
      state.preset = presets.value = "own";
    }
    function resize(D) {
      state.D = D;
      if (STARTS[state.preset]) state.f = STARTS[state.preset].law(D);
      else own();
      state.start = expectations(state.f, D);
      draw();
      say(`Matrices of size ${D} by ${D}.`);
    }
    function reseed(value) {
      state.seed = Number.isFinite(value) ? Math.min(4294967295, Math.max(0, Math.floor(value))) : state.seed;
      seed.value = state.seed;
      draw();
      say(`Drawn with seed ${state.seed}.`);
    }

    // -- the knobs
    const warnings = GROUPS.map(() => el("p", { class: "kn-warning", hidden: true }));
    const margins = GROUPS.map(() => el("p", { class: "ex-soft kn-margin" }));
    const groupOf = (k) => GROUPS.findIndex(({ from, to }) => k >= from && k < to);
    const sliders = data.parameters.map(({ name, law, words }, k) => {
      const [min, max, step] = RANGE(k);
      const slider = core.slider({
        label: el("span", {}, f(k), " ", el("span", { class: "kn-law" }, law), el("span", { class: "ex-soft kn-words" }, words)),
        name: `${name}, ${law}`, min, max, step, value: state.f[k], onchange: (value) => turn(k, value),
      });
      slider.span = el("span");
      slider.range.after(el("span", { class: "kn-allowed", "aria-hidden": "true" }, slider.span));
      slider.node.addEventListener("focusin", () => select(k));
      slider.node.dataset.knob = name;
      return slider;
    });

    function turn(k, value) {
      const [low, high] = allowed(state.f, k);
      const kept = Math.min(high, Math.max(low, value));
      if (kept !== state.f[k]) own();
      state.f[k] = kept;
      warn(k, kept === value ? null : value < low ? "low" : "high");
      select(k);
      draw();
      return kept;
    }

    /** Why knob k cannot go further, in words. */
    function reason(k, side) {
      const at = `${plain(k)} stops at ${number(state.f[k], 4)}: `;
      if (k > 10) return `${at}it is a variance, and must be positive.`;
      if (k < 5) {
        if (side === "low" && k !== 3 && state.f[3] === 0) return `${at}it is a variance, and must be positive.`;
        const way = k === 3 ? "Raise f₃ or f₅ to go further." : "Bring f₄ nearer to zero to go further.";
        return `${at}f₄² ≤ f₃ f₅ must hold, since no correlation is larger than one. ${way}`;
      }
      const [a, b] = UPPER[k - 5], T = standard(state.f);
      const others = UPPER.map(([p, q], m) => [p, q, m + 5]).filter(([p, q, m]) => p !== q && m !== k);
      if (a === b && others.every(([p, q]) => T[p][q] === 0)) return `${at}it is a variance, and must be positive.`;
      if (a !== b && others.every(([p, q]) => T[p][q] === 0)) {
        const [left, right] = [[5, 8, 10][a], [5, 8, 10][b]];
        return `${at}${plain(k)}² ≤ ${plain(left)} ${plain(right)} must hold, since no correlation is larger than one. Raise ${plain(left)} or ${plain(right)} to go further.`;
      }
      return `${at}the determinant of the 3 × 3 covariance T (f₆ … f₁₁) must not be negative; it has just reached zero.`;
    }
    function warn(k, side) {
      warnings.forEach((node) => (node.hidden = true));
      sliders.forEach((slider) => slider.node.classList.remove("kn-stopped"));
      if (side === undefined || side === null) return;
      const node = warnings[groupOf(k)];
      const words = reason(k, side);
      node.textContent = words;
      node.hidden = false;
      sliders[k].node.classList.add("kn-stopped");
      say(words);
    }

    // -- which predictions the knob in hand moves
    const moved = el("p", { class: "kn-moves" });
    function select(k) {
      state.knob = k;
      const which = moves(k, state.D);
      rows.forEach((row, i) => row.node.classList.toggle("kn-moved", which[i]));
      rows.forEach((row, i) => (row.mark.textContent = which[i] ? "◆" : ""));
      const names = which.flatMap((yes, i) => (yes ? [`I${i + 1}`] : []));
      moved.replaceChildren(f(k), ` moves ${names.length} of the 13, marked ◆: ${names.join(", ")}.`);
    }

    // -- pictures
    const map = core.heatmap({
      sums: true,
      label: (W) => {
        const what = state.view === "one" ? `A matrix drawn with seed ${state.seed}` : `The average of ${DRAWS} matrices`;
        return `${what}, ${W.length} by ${W.length}, as coloured squares; entries from ${number(-core.largest(W.map((r) => r.map((x) => Math.max(-x, 0)))))} to ${number(core.largest(W.map((r) => r.map((x) => Math.max(x, 0)))))}; bars: row sums at the right, column sums below.`;
      },
    });
    const colours = core.colourBar();
    const plane = spectrum();
    const matrixTable = core.folded("Entries of the matrix that is shown, row by row", ["row", ...Array.from({ length: 10 }, (_, j) => `${j + 1}`), "row sum"], "The matrix in numbers");
    const spectrumTable = core.folded("Eigenvalues of the matrix that is drawn", ["number", "real part", "imaginary part"], "The eigenvalues in numbers");
    const views = ["one", "average"].map((view) =>
      core.button(view === "one" ? "One matrix" : `Average of ${DRAWS}`, () => {
        state.view = view;
        draw();
        say(view === "one" ? "One matrix is shown." : `The average of ${DRAWS} matrices is shown.`);
      }),
    );

    // -- the table of averages
    const rows = data.invariants.map(({ name, alias, words, drawing }) => {
      const mark = el("td", { class: "kn-mark", "aria-label": "moved by this knob" });
      const [predicted, change, measured] = [el("td"), el("td", { class: "kn-change" }), el("td")];
      const head = el("th", { scope: "row" }, el("span", { class: "kn-what" }, core.drawn(drawing), el("span", {}, core.symbol("I", alias), " ", el("code", {}, name), el("span", { class: "ex-soft kn-words" }, words))));
      return { node: el("tr", {}, head, mark, predicted, change, measured), mark, predicted, change, measured };
    });
    const averages = el("table", { class: "kn-averages" },
      el("caption", { class: "ex-hidden" }, `The thirteen linear and quadratic invariants: exact expectation, change since the preset, average of ${DRAWS} draws`),
      el("thead", {}, el("tr", {}, ...["invariant", "◆", "exact", "since preset", `average of ${DRAWS}`].map((title) =>
        el("th", { scope: "col" }, title === "◆" ? el("span", { title: "moved by the knob in hand" }, "◆") : title)))),
      el("tbody", {}, ...rows.map((row) => row.node)));

    let frame = 0;
    /** Everything that follows from the state, at most once a frame. */
    function draw() {
      sliders.forEach((slider, k) => {
        slider.set(state.f[k]);
        const [min, max] = [+slider.range.min, +slider.range.max], [low, high] = allowed(state.f, k);
        const share = (value) => (100 * (Math.min(max, Math.max(min, value)) - min)) / (max - min);
        slider.span.style.left = `${share(low)}%`;
        slider.span.style.right = `${100 - share(high)}%`;
      });
      const [S, T] = [trivial(state.f), standard(state.f)].map((block) => Math.min(...symmetricEigen(block).values));
      margins[1].textContent = `Must stay positive: f₃f₅ − f₄² = ${number(state.f[2] * state.f[4] - state.f[3] ** 2)}, f₃ and f₅ (smallest eigenvalue of the block: ${number(S)}).`;
      margins[2].textContent = `Must stay positive: all eigenvalues of the 3 × 3 matrix T; the smallest is ${number(T)}.`;
      margins[3].textContent = "Both are variances and must stay positive.";
      views.forEach((node, k) => node.setAttribute("aria-pressed", String((k === 0) === (state.view === "one"))));
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(pictures);
    }
    function pictures() {
      const { D } = state, make = sampler(state.f, D), noises = drawn();
      const first = make(noises[0]), sum = core.matrix(D, () => 0);
      const total = Array(13).fill(0), squares = Array(13).fill(0), cloud = [];
      noises.forEach((one, k) => {
        const W = k ? make(one) : first;
        for (let i = 0; i < D; i++) for (let j = 0; j < D; j++) sum[i][j] += W[i][j] / DRAWS;
        invariants(W).forEach((value, i) => ((total[i] += value), (squares[i] += value * value)));
        if (k > 0 && k <= CLOUD) cloud.push(...eigenvalues(W));
      });
      const shown = state.view === "one" ? first : sum, limit = LIMIT[state.view], own = eigenvalues(first);
      map.update(shown, limit);
      colours.update(limit);
      plane.update(own, cloud, state.f, D);
      const sums = core.rowSums(shown);
      matrixTable.update(shown.map((row, i) => [String(i + 1), ...Array.from({ length: 10 }, (_, j) => (j < D ? fixed(row[j], 3) : "")), fixed(sums[i], 3)]));
      spectrumTable.update(own.map(([re, im], k) => [String(k + 1), fixed(re, 3), fixed(im, 3)]));
      expectations(state.f, D).forEach((exact, i) => {
        const average = total[i] / DRAWS, spread = Math.sqrt(Math.max(squares[i] / DRAWS - average ** 2, 0) * (DRAWS / (DRAWS - 1)));
        const error = spread / Math.sqrt(DRAWS), change = exact - state.start[i];
        const decimals = error > 0 ? Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(error)))) : 3;
        rows[i].predicted.textContent = fixed(exact, decimals);
        rows[i].measured.textContent = `${fixed(average, decimals)} ± ${fixed(error, decimals)}`;
        const size = Math.abs(change) < 0.5 * 10 ** -decimals ? 0 : change;
        rows[i].change.textContent = size === 0 ? "·" : `${size > 0 ? "▲ +" : "▼ "}${fixed(size, decimals)}`;
      });
      stage.dataset.drawn = String(+(stage.dataset.drawn ?? 0) + 1);
    }

    stage.append(
      core.panel("Where to start",
        el("div", { class: "ex-row" }, el("label", { class: "kn-preset" }, "Law", presets), el("label", {}, "Size", sizes),
          el("label", {}, "Seed", seed), core.button("Draw again", () => reseed((state.seed + 1) % 4294967296), { class: "ex-main" })),
        training, missing),
      el("div", { class: "kn-desk" },
        el("div", { class: "kn-pictures" },
          core.panel("What comes out", el("div", { class: "kn-two" },
            el("figure", {}, map.node, colours.node, el("figcaption", {}, "The matrix; bars are row and column sums")),
            el("figure", {}, plane.node, el("figcaption", {}, `Eigenvalues of this matrix (dark) and of ${CLOUD} more (pale); dashed: the elliptic law`))),
          el("div", { class: "ex-row kn-views", role: "group", "aria-label": "Shown in colour" }, ...views))),
        core.panel("The knobs", ...GROUPS.map(({ title, where, from, to }, g) =>
          el("fieldset", {}, el("legend", {}, el("b", {}, title), " ", el("span", { class: "ex-soft" }, ...where)),
            ...sliders.slice(from, to).map((slider) => slider.node), warnings[g], margins[g])), said)),
      core.panel("What the law predicts, and what was drawn", moved, el("div", { class: "ex-wide", tabindex: "0", role: "region", "aria-label": "Averages of invariants" }, averages),
        el("p", { class: "ex-soft kn-note" }, `± one standard error of the average of ${DRAWS} draws. The exact column is the expectation; no matrix was drawn for it.`),
        matrixTable.node, spectrumTable.node),
    );
    select(0);
    draw();
  });

  /** The complex plane; update(eigenvalues, cloud, f, D). The dashed ellipse is the elliptic law of the bulk. */
  function spectrum() {
    const HALF = 110, grid = svg("g", { class: "kn-grid" }), pale = svg("g", { class: "kn-cloud" });
    const ellipse = svg("ellipse", { class: "kn-ellipse", cx: 0, cy: 0 }), dark = svg("g", { class: "kn-own" });
    const node = svg("svg", { class: "kn-spectrum", role: "img", viewBox: `${-HALF - 24} ${-HALF - 4} ${2 * HALF + 28} ${2 * HALF + 18}` }, grid, pale, ellipse, dark);
    let shown = 0;
    function axes(limit) {
      shown = limit;
      const step = limit / 2.5;
      const lines = [-2, -1, 0, 1, 2].flatMap((k) => {
        const at = (k * step * HALF) / limit, value = String(k * step).replace("-", "−");
        const text = [
          svg("text", { x: at, y: HALF + 11, "text-anchor": "middle" }, value),
          svg("text", { x: -HALF - 3, y: -at + 3, "text-anchor": "end" }, k ? `${value}i` : "0"),
        ];
        return [svg("path", { class: k ? null : "kn-zero", d: `M${at} ${-HALF}V${HALF}M${-HALF} ${at}H${HALF}` }), ...text];
      });
      grid.replaceChildren(...lines);
    }
    function update(own, cloud, parameters, D) {
      const reach = Math.max(...own.map(([re, im]) => Math.max(Math.abs(re), Math.abs(im))), 0);
      const limit = [1.25, 2.5, 5, 10, 25].find((size) => reach <= size) ?? 100;
      if (limit !== shown) axes(limit);
      const at = (x) => ((x * HALF) / limit).toFixed(1);
      const within = ([re, im]) => Math.abs(re) <= limit && Math.abs(im) <= limit;
      const dots = (list, r) => list.filter(within).map(([re, im]) => svg("circle", { cx: at(re), cy: at(-im), r }));
      const variance = (parameters[11] + parameters[12]) / 2, tilt = (parameters[11] - parameters[12]) / (2 * variance);
      ellipse.setAttribute("rx", at(Math.sqrt(D * variance) * (1 + tilt)));
      ellipse.setAttribute("ry", at(Math.sqrt(D * variance) * (1 - tilt)));
      pale.replaceChildren(...dots(cloud, 1.3));
      dark.replaceChildren(...dots(own, 3.4));
      const real = own.filter(([, im]) => Math.abs(im) < 1e-9).length;
      const far = Math.max(...own.map(([re, im]) => Math.hypot(re, im)));
      node.setAttribute("aria-label", `Eigenvalues in the complex plane: ${own.length}, of which ${real} real; the largest modulus is ${number(far)}.`);
    }
    return { node, update };
  }
})();
