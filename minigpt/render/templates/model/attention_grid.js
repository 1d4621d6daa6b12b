// The attention of one head as a grid, a row for each token and a column for each that it attends to.
const AttentionGrid = (() => {
  const MOST = 2.5; // rem of a cell
  const NUMBERED = 1.6; // rem of a cell into which a number fits
  const NAMED = 0.75; // rem that the name of a row needs
  const LETTERS = 9; // of a token's name

  // A head's rows: its weights, or the scores before the softmax.
  function rowsOf({ reading, layer, head }, isScores) {
    return Array.from({ length: reading.length }, (_, t) => reading[isScores ? "scores" : "weights"](layer, head, t));
  }

  // A pixel for each cell. Weights are blue, as a share of 1 or of the largest in the row; scores are blue above zero and
  // orange below, as a share of the largest amount of all.
  function paint(canvas, rows, { isByRow, isScores }) {
    const T = rows.length, image = new ImageData(T, T), { more, less } = Vector.PAINTS;
    const amount = (most, x) => Math.max(most, Math.abs(x)), all = isScores ? rows.reduce((most, row) => row.reduce(amount, most), 0) : 1;
    rows.forEach((row, t) => {
      const largest = isByRow && !isScores ? row.reduce(amount, 0) : all;
      for (let s = 0, p = 4 * t * T; s <= t; s += 1, p += 4) {
        const [red, green, blue] = row[s] < 0 ? less : more;
        image.data[p] = red;
        image.data[p + 1] = green;
        image.data[p + 2] = blue;
        image.data[p + 3] = largest ? (255 * Math.abs(row[s])) / largest : 0;
      }
    });
    canvas.width = canvas.height = T;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return all;
  }

  function drawn(name, { text, ...attributes }, children = []) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const short = (text) => ([...text].length > LETTERS ? `${[...text].slice(0, LETTERS - 1).join("")}…` : text);

  // The enlarged grid: a canvas under an SVG of names and numbers.
  class Large {
    // looked: called with the row and column under the pointer, or nothing; chosen: with the row that was clicked
    constructor(root, { looked, chosen }) {
      this.root = root;
      this.canvas = element("canvas", { "aria-hidden": true });
      this.svg = drawn("svg", { "aria-hidden": true });
      root.append(this.canvas, this.svg);
      const under = (event) => {
        const box = this.canvas.getBoundingClientRect();
        const [t, s] = [event.clientY - box.top, event.clientX - box.left].map((way) => Math.floor(way / this.cell));
        return s >= 0 && s <= t && t < this.rows.length ? [t, s] : null;
      };
      root.addEventListener("pointermove", (event) => looked(under(event)));
      root.addEventListener("pointerleave", () => looked(null));
      root.addEventListener("click", (event) => under(event) && chosen(under(event)[0]));
    }

    // rows: of numbers; names: of the tokens; t: the row that is chosen
    show(rows, names, t, how) {
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      const T = rows.length, width = this.root.clientWidth, left = Math.min(6.5 * rem, width / 4), top = 5.25 * rem;
      const all = paint(this.canvas, rows, how);
      this.rows = rows;
      if (!width) return all; // hidden, as most parts are during the guided walk
      this.cell = Math.min(MOST * rem, (width - left - 2) / T);
      const size = this.cell * T;
      Object.assign(this.canvas.style, { left: `${left}px`, top: `${top}px`, width: `${size}px`, height: `${size}px` });
      this.root.style.height = `${top + size + 4}px`;
      for (const [name, value] of Object.entries({ width: left + size + 2, height: top + size + 4 })) this.svg.setAttribute(name, value);
      const { cell } = this, every = Math.ceil((NAMED * rem) / cell), middle = (i) => (i + 0.5) * cell;
      const isNamed = (i) => i === t || (i % every === 0 && Math.abs(i - t) >= every);
      const places = names.map((_, i) => i).filter(isNamed);
      const named = (i, attributes) => drawn("text", { class: i === t ? "chosen" : "", text: short(names[i]), ...attributes }, []);
      this.svg.replaceChildren(
        ...places.map((i) => named(i, { "x": left - 6, "y": top + middle(i), "text-anchor": "end", "dominant-baseline": "central" })),
        ...places.map((i) => named(i, { "x": 0, "y": 0, "dominant-baseline": "central", "transform": `translate(${left + middle(i)} ${top - 6}) rotate(-90)` })),
        drawn("rect", { class: "frame", x: left, y: top, width: size, height: size }),
        drawn("rect", { class: "row", x: left, y: top + t * cell, width: (t + 1) * cell, height: cell }),
        ...(cell >= NUMBERED * rem ? this.numbers(how, (i) => left + middle(i), (i) => top + middle(i)) : []),
      );
      return all;
    }

    numbers({ isScores }, x, y) {
      const text = (value) => (isScores ? value.toFixed(1).replace("-", "−") : `${Math.round(100 * value)}`);
      return this.rows.flatMap((row, t) => Array.from(row, (value, s) => drawn("text", {
        "class": "cell", "x": x(s), "y": y(t), "text-anchor": "middle", "dominant-baseline": "central", "text": text(value), "data-value": value,
      })));
    }
  }

  return { Large, paint, rowsOf, drawn };
})();
