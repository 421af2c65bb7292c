// Wick by graph, the mathematics: pigmmExplore.wick has laws as coefficients of deltas, and Wick's sum for any graph.
(() => {
  "use strict";
  const ex = pigmmExplore;

  // ---- laws: coefficients of the deltas in mean and covariance, named by their patterns
  // mean(W_ij) = a + b δ_ij;  cov(W_ij, W_kl) = Σ_P c_P δ_P(i, j, k, l): equal digits of P are equal indices, others may
  // be equal too. So every node that is left after all mergers is summed over all D values, whatever the others are.

  /** Of the 13-parameter law f1 … f13. */
  function thirteen(f, D) {
    const [f1, f2, S00, S01, S11, T11, T12, T13, T22, T23, T33, f12, f13] = f;
    const k = Math.sqrt(D - 2), w = Math.sqrt(D - 1), U = T33 - f12;
    const Y = T33 / (D * (D - 2)) - f12 / (2 * (D - 2)), V = f12 / ((D - 1) * (D - 2));
    const corner = S00 - (2 * S01) / w + S11 / (D - 1) - T11 - 2 * T12 - T22 + (4 * (T13 + T23)) / k - (4 * T33) / (D - 2);
    const c = [
      (D * U) / (D - 2),
      T23 / k - U / (D - 2),
      T13 / k - U / (D - 2),
      S11 / (D - 1) - T33 / (D - 2) + V,
      S01 / (D * w) - S11 / (D * (D - 1)) - (T13 + T23) / (D * k) + (2 * T33) / (D * (D - 2)) - V,
      (f12 + f13) / 2,
      T22 / D - (2 * T23) / (D * k) + Y - f13 / (2 * D),
      (f12 - f13) / 2,
      T12 / D - (T13 + T23) / (D * k) + Y + f13 / (2 * D),
      T11 / D - (2 * T13) / (D * k) + Y - f13 / (2 * D),
      corner / (D * D) + V,
    ];
    return {
      mean: [["01", f1 / D - f2 / (D * w)], ["00", f2 / w]],
      covariance: ex.data.wick.deltas.map(([pattern, at]) => [pattern, c[at]]),
    };
  }

  /** Of the two-sided law m, v00, vr, vc, vrc: rows and columns are relabelled separately. */
  const twoSided = ([m, v00, vr, vc, vrc], D) => ({
    mean: [["01", m]],
    covariance: [
      ["0123", (v00 - vr - vc + vrc) / (D * D)], ["0102", (vr - vrc) / D], ["0121", (vc - vrc) / D], ["0101", vrc],
    ],
  });

  /** Of independent entries with mean m and variance v. */
  const independent = ([m, v]) => ({ mean: [["01", m]], covariance: [["0101", v]] });

  const KINDS = { simple: independent, two: twoSided, full: thirteen };

  const LARGEST = 1e6; // four factors and D⁴ terms stay numbers that can be told apart
  /** Are these numbers those of a law?  A sentence that says what is wrong, or nothing. */
  function fault(kind, f) {
    if (!f.every(Number.isFinite)) return "Every field needs a number.";
    if (f.some((v) => Math.abs(v) > LARGEST)) return `No number may be beyond ±${LARGEST}.`;
    if (kind === "simple") return f[1] > 0 ? "" : "The variance must be positive.";
    if (kind === "two") return f.slice(1).every((v) => v > 0) ? "" : "All four variances must be positive.";
    const [, , s0, s1, s2, a, b, c, d, e, g, v2, v3] = f;
    if (!(s0 > 0 && s0 * s2 > s1 * s1)) return "f3, f4, f5 must be a positive definite matrix: f3 f5 > f4², f3 > 0.";
    const determinant = a * (d * g - e * e) - b * (b * g - c * e) + c * (b * e - c * d);
    if (!(a > 0 && a * d > b * b && determinant > 0)) return "f6 … f11 must be a positive definite 3×3 matrix.";
    return v2 > 0 && v3 > 0 ? "" : "f12 and f13 must be positive.";
  }

  // ---- Wick's theorem

  /** The edges of a graph by its name, nodes numbered through from 0. */
  function edgesOf(name) {
    const all = [];
    let start = 0;
    for (const component of name.split("+")) {
      const part = ex.edges(component);
      part.forEach(([i, j]) => all.push([start + i, start + j]));
      start += 1 + Math.max(...part.flat());
    }
    return all;
  }

  /** All ways to split the edges 0 … k−1 into singles and pairs, few pairs first. */
  function pairings(k) {
    const split = (left) => {
      if (!left.length) return [[]];
      const [first, ...rest] = left;
      const alone = split(rest).map((more) => [[first], ...more]);
      const paired = rest.flatMap((other) => split(rest.filter((e) => e !== other)).map((more) => [[first, other], ...more]));
      return [...paired, ...alone];
    };
    return split([...Array(k).keys()]).sort((p, q) => q.length - p.length);
  }

  const joined = (labels, i, j) => {
    const keep = Math.min(labels[i], labels[j]), drop = Math.max(labels[i], labels[j]);
    return keep === drop ? labels : labels.map((label) => (label === drop ? keep : label));
  };

  /**
   * The contributions to the expectation of a graph, by pairing; a pairing's are collected by what its mergers make of the
   * nodes: labels[n] is the first of the nodes that n has become one with, left counts the nodes that are left, terms are
   * the products of coefficients, weight their sum, and value = weight · D^left.
   */
  function contributions(name, law, D) {
    const edges = edgesOf(name), nodes = 1 + Math.max(...edges.flat());
    return pairings(edges.length).map((blocks) => {
      const groups = new Map();
      const choices = blocks.map((block) => (block.length === 1 ? law.mean : law.covariance).filter(([, c]) => c !== 0));
      const walk = (at, labels, weight, patterns) => {
        if (at === blocks.length) {
          const key = labels.join();
          if (!groups.has(key)) groups.set(key, { labels, left: new Set(labels).size, terms: [], weight: 0 });
          const group = groups.get(key);
          group.terms.push({ patterns, weight });
          group.weight += weight;
          return;
        }
        const ends = blocks[at].flatMap((e) => edges[e]);
        for (const [pattern, c] of choices[at]) {
          let now = labels;
          [...pattern].forEach((digit, n) => (now = joined(now, ends[n], ends[pattern.indexOf(digit)])));
          walk(at + 1, now, weight * c, [...patterns, pattern]);
        }
      };
      walk(0, [...Array(nodes).keys()], 1, []);
      const list = [...groups.values()].map((group) => ({ ...group, value: group.weight * D ** group.left }));
      list.sort((g, h) => h.left - g.left || Math.abs(h.value) - Math.abs(g.value));
      return { blocks, groups: list, subtotal: list.reduce((sum, g) => sum + g.value, 0) };
    });
  }

  const predict = (name, law, D) => contributions(name, law, D).reduce((sum, p) => sum + p.subtotal, 0);
  ex.wick = { KINDS, thirteen, twoSided, independent, fault, edgesOf, pairings, contributions, predict };
})();
