// The atlas of invariants: search, order, links to cards, curves. Without this script the page is a plain list.
(() => {
  "use strict";
  const atlas = document.querySelector(".atlas");
  if (!atlas) return;
  const FIRST = 24; // cards shown before a button is pressed
  const form = atlas.querySelector("form");
  const count = atlas.querySelector(".count");
  const numbers = JSON.parse(atlas.querySelector(".numbers").textContent);
  const cards = [...atlas.querySelectorAll(".item")];
  const byId = new Map(cards.map((card) => [card.querySelector(".body").id, card]));
  const plain = (text) => text.normalize("NFKC").toLowerCase().replaceAll("^", "");
  let limit = FIRST;
  let linked = null; // the card that a link asked for comes first, until something is searched

  // ---- search and order

  const grid = document.createElement("div");
  grid.className = "grid";
  const more = document.createElement("button");
  more.type = "button";
  more.className = "more";
  atlas.querySelectorAll(".group").forEach((group) => group.remove());
  atlas.append(grid, more);
  form.hidden = false;

  /** The largest |value| of a card in the chosen place, or in all of them. */
  function size(kind, card) {
    const values = numbers[kind][card.dataset.name];
    const place = form.elements.place.value;
    return Math.abs(place === "" ? values.reduce((a, b) => Math.max(a, Math.abs(b)), 0) : values[place]);
  }

  /** Does a card answer one word of the query? */
  function answers(card, word) {
    if (/^i\d+$/.test(word)) return card.dataset.p === word.slice(1);
    if (/^[\d.+]+$/.test(word)) return card.dataset.name.includes(word) || card.dataset.p === word;
    return plain(card.dataset.words).includes(word);
  }

  function chosen() {
    const value = (key) => form.elements[key].value;
    const query = plain(value("q")).trim();
    const asked = query.split(/\s+/).filter(Boolean);
    const found = cards.filter(
      (card) =>
        ["d", "n", "c", "b", "f"].every((key) => value(key) === "" || card.dataset[key] === value(key)) &&
        (value("p") === "" || (card.dataset.p !== "") === (value("p") === "1")) &&
        asked.every((word) => answers(card, word)),
    );
    const sort = value("sort");
    if (sort === "name") found.sort((a, b) => (a.dataset.name < b.dataset.name ? -1 : 1));
    if (sort === "z" || sort === "ratio") found.sort((a, b) => size(sort, b) - size(sort, a));
    const ahead = (card) => card === linked || card.dataset.name === query;
    return [...found.filter(ahead), ...found.filter((card) => !ahead(card))];
  }

  function show() {
    const found = chosen();
    const shown = found.slice(0, limit);
    for (const card of shown) {
      if (+card.dataset.d < 3) continue;
      const text = `|z| ${size("z", card).toFixed(1)} · effect ${size("ratio", card).toFixed(2)}`;
      card.querySelector("small").textContent = text;
    }
    grid.replaceChildren(...shown);
    more.hidden = shown.length === found.length;
    more.textContent = `Show all ${found.length}`;
    const first = more.hidden ? "" : `, the first ${shown.length} shown`;
    count.textContent = found.length
      ? `${found.length} of ${cards.length} invariants${first}`
      : "No invariant matches. Names are canonical: see the example above for how to get yours.";
  }

  function begin() {
    limit = FIRST;
    linked = null;
    show();
  }

  let wait = 0;
  form.addEventListener("input", () => {
    clearTimeout(wait);
    wait = setTimeout(begin, 120);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("button").addEventListener("click", () => {
    form.reset();
    begin();
  });
  more.addEventListener("click", () => {
    const next = limit;
    limit = cards.length;
    show();
    grid.children[next]?.querySelector("summary").focus();
  });

  // ---- one card

  /** A number with its standard error, as in "−0.46(4)" or "1.5(3)e−7". */
  function measured(text) {
    const [, value, error, power] = /^(-?[\d.]+)(?:\((\d+)\))?(e-?\d+)?$/.exec(text.trim().replaceAll("−", "-"));
    const scale = power ? +`1${power}` : 1;
    const digits = (value.split(".")[1] ?? "").length;
    return { value: value * scale, error: (error ?? 0) * 10 ** -digits * scale };
  }

  /** The blocks of the table of shifts: heading, and for each layer its points from the start on. */
  function read(table) {
    const epochs = [...table.tHead.rows[0].cells].slice(1).map((cell) => +cell.textContent);
    return [...table.tBodies].map((body) => ({
      heading: body.rows[0].textContent,
      lines: [...body.rows].slice(1).map((row) => {
        const points = [...row.cells].slice(1).map((cell, k) => ({ epoch: epochs[k], ...measured(cell.textContent) }));
        return { layer: row.cells[0].textContent, points: [{ epoch: 0, value: 0, error: 0 }, ...points] };
      }),
    }));
  }

  const WIDTH = 330, HEIGHT = 150, LEFT = 42, RIGHT = 24, TOP = 8, BOTTOM = 20;

  /** Those of the candidates, in their order of importance, that keep so far apart. */
  function spaced(candidates, at, apart) {
    const kept = [];
    for (const c of candidates) if (kept.every((k) => Math.abs(at(k) - at(c)) >= apart)) kept.push(c);
    return kept;
  }

  function curves(blocks, name) {
    const all = blocks.flatMap((block) => block.lines.flatMap((line) => line.points));
    const low = Math.asinh(Math.min(0, ...all.map((p) => p.value - p.error)));
    const high = Math.asinh(Math.max(0, ...all.map((p) => p.value + p.error)));
    const last = Math.max(...all.map((p) => p.epoch));
    const x = (epoch) => LEFT + ((WIDTH - LEFT - RIGHT) * Math.log1p(epoch)) / Math.log1p(last);
    const y = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - Math.asinh(value))) / (high - low || 1);
    const powers = [1e5, 1e4, 1e3, 100, 10, 1, 0.1, 0.01];
    const steps = [0, ...powers.flatMap((p) => [p, -p]), ...powers.flatMap((p) => [3 * p, -3 * p])];
    const within = steps.filter((v) => Math.asinh(v) >= low - 1e-9 && Math.asinh(v) <= high + 1e-9);
    const ticks = spaced(within, y, 15);
    const epochs = spaced([0, last, 1, 5, 20, 10, 2].filter((e) => e <= last), x, 22);
    const number = (v) => String(+v.toPrecision(3)).replace("-", "−");
    const text = (px, py, what, anchor) => `<text x="${px}" y="${py}" text-anchor="${anchor}">${what}</text>`;
    return blocks.map(({ heading, lines }) => {
      const ends = lines.map(({ layer, points }) => ({ layer, ...points.at(-1) }));
      const tops = ends.map((end) => ({ layer: end.layer, at: y(end.value) })).sort((a, b) => a.at - b.at);
      tops.forEach((end, k) => (end.at = Math.max(end.at, k ? tops[k - 1].at + 11 : TOP)));
      const over = Math.max(0, (tops.at(-1)?.at ?? 0) - (HEIGHT - BOTTOM));
      const said = ends.map((e) => `${e.layer} ${number(e.value)} ± ${number(e.error)}`).join(", ");
      const what = `${heading}: shift of ${name} from epoch 0 to ${last}, at the end ${said}, in units of the initial spread`;
      let svg = ticks.map((v) => `<path class="tick" d="M${LEFT} ${y(v)}H${WIDTH - RIGHT}"/>`).join("");
      svg += ticks.map((v) => text(LEFT - 5, y(v) + 4, number(v), "end")).join("");
      svg += epochs.map((e) => text(x(e), HEIGHT - 5, e, "middle")).join("");
      for (const { layer, points } of lines) {
        const path = points.map((p, k) => `${k ? "L" : "M"}${x(p.epoch).toFixed(1)} ${y(p.value).toFixed(1)}`).join("");
        const bars = points.map((p) => `M${x(p.epoch)} ${y(p.value - p.error)}V${y(p.value + p.error)}`).join("");
        const dash = heading.startsWith("Uniform") ? ' stroke-dasharray="7 3"' : ""; // the book's line styles and marks
        const dots = points.map((p) => `<circle cx="${x(p.epoch)}" cy="${y(p.value)}" r="2.4"/>`).join("");
        svg += `<g style="--line:var(--${layer})"><path d="${path}"${dash}/><path class="bars" d="${bars}"/>`;
        svg += `${heading.includes("decay") ? dots : ""}</g>`;
      }
      svg += tops.map((end) => text(WIDTH - RIGHT + 5, end.at - over + 4, end.layer, "start")).join("");
      return (
        `<figure><figcaption>${heading}</figcaption>` +
        `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"><title>${what}</title>${svg}</svg></figure>`
      );
    });
  }

  /** What an opened card shows is kept as text until then. */
  function fill(card) {
    const body = card.querySelector(".body");
    const kept = body.querySelector("noscript");
    if (!kept) return;
    body.innerHTML = kept.textContent;
    const table = body.querySelector(".shift");
    const drawn = document.createElement("div");
    drawn.className = "curves";
    drawn.innerHTML = curves(read(table), card.dataset.name).join("");
    const title = document.createElement("p");
    title.className = "title";
    title.textContent = `${table.caption.textContent}, by epoch`;
    const folded = document.createElement("details");
    folded.innerHTML = "<summary>The numbers</summary>";
    table.parentElement.replaceWith(title, drawn, folded);
    folded.append(table.parentElement);
  }
  atlas.addEventListener(
    "toggle",
    (event) => {
      if (event.target.open && event.target.matches(".item")) fill(event.target);
    },
    true,
  );

  // ---- links to cards

  function follow() {
    const card = byId.get(location.hash.slice(1));
    if (!card) return;
    if (!chosen().includes(card)) form.reset();
    linked = card;
    show();
    fill(card);
    card.open = true;
    card.scrollIntoView();
    card.querySelector("summary").focus({ preventScroll: true });
  }
  window.addEventListener("hashchange", follow);
  window.addEventListener("load", follow); // again, when everything above has its height
  if (byId.has(location.hash.slice(1))) history.scrollRestoration = "manual";
  show();
  follow();
})();
