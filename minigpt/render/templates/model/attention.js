// Attention: all heads as small grids, one of them enlarged, as a list, as a table, and as lines over the text.
parts.attention = class {
  static LISTED = 8;

  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.find = (selector) => root.querySelector(selector);
    this.choosers = new Choosers(this.find(".tools"), page);
    this.options = this.find(".options");
    this.options.addEventListener("change", () => this.show());
    this.find(".grids").addEventListener("keydown", (event) => this.key(event));
    this.large = new AttentionGrid.Large(this.find(".large"), {
      looked: (cell) => this.read(cell), chosen: (t) => page.lookAt(t),
    });
    this.find(".as-table").addEventListener("toggle", () => this.showTable());
    this.lines = new Lines(this.find(".lines"), page);
    new ResizeObserver(() => this.rows && root.clientWidth && this.showLarge()).observe(root);
    this.makeHeads();
  }

  makeHeads() {
    const { layers, heads } = this.page.model.config, all = this.find(".heads");
    all.style.gridTemplateColumns = `repeat(${heads}, minmax(0, 6rem))`;
    this.buttons = Array.from({ length: layers }, (_, layer) => Array.from({ length: heads }, (_, head) => {
      const label = element("span", { text: `${layer + 1}.${head + 1}` });
      const button = element("button", { "type": "button", "aria-label": `layer ${layer + 1}, head ${head + 1}`, "data-head": `${layer + 1}.${head + 1}` }, [element("canvas"), label]);
      button.addEventListener("click", () => this.page.change({ layer: layer + 1, head: head + 1 }));
      all.append(button);
      return button;
    }));
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const { reading, t, layer, head } = this.page.looking, { layers, heads } = this.page.model.config;
    const among = (number, count) => Math.max(0, Math.min(count - 1, number));
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.page.change({ head: among(head + step, heads) + 1 });
    else if (event.shiftKey) this.page.lookAt(among(t + step, reading.length));
    else this.page.change({ layer: among(layer + step, layers) + 1 });
    if (event.target.closest(".heads")) this.button().focus();
  }

  button() {
    const { layer, head } = this.page.looking;
    return this.buttons[layer][head];
  }

  get how() {
    const { elements: { scores, byRow } } = this.options;
    return { isScores: scores.checked, isByRow: byRow.checked };
  }

  show() {
    const { looking } = this.page, { layer, head } = looking;
    this.choosers.show();
    this.options.elements.byRow.disabled = this.how.isScores;
    this.showHeads(looking);
    this.rows = AttentionGrid.rowsOf(looking, this.how.isScores);
    this.find(".large").setAttribute("aria-label", `Attention of layer ${layer + 1}, head ${head + 1}. Arrow keys choose another head or layer, with Shift another token.`);
    this.showLarge();
    this.read(null);
    this.showList(looking);
    this.showTable();
    this.lines.show(looking);
  }

  // The small grids are painted anew only if the text or the scale has changed.
  showHeads({ reading, layer: chosenLayer, head: chosenHead }) {
    const key = JSON.stringify(this.how), isOld = this.painted === reading && this.paintedHow === key;
    this.buttons.forEach((row, layer) => row.forEach((button, head) => {
      const isChosen = layer === chosenLayer && head === chosenHead;
      button.setAttribute("aria-pressed", isChosen);
      button.setAttribute("tabindex", isChosen ? 0 : -1);
      if (!isOld) AttentionGrid.paint(button.firstChild, AttentionGrid.rowsOf({ reading, layer, head }, this.how.isScores), this.how);
    }));
    Object.assign(this, { painted: reading, paintedHow: key });
  }

  showLarge() {
    const { reading, t } = this.page.looking;
    const largest = this.large.show(this.rows, this.names(reading), t, this.how);
    const { isScores, isByRow } = this.how;
    const [least, most] = isScores ? [`−${Numbers.figure(largest)}`, Numbers.figure(largest)] : ["0 %", isByRow ? "the largest weight of the row" : "100 %"];
    this.find(".least").textContent = least;
    this.find(".most").textContent = most;
    this.find(".legend-bar").dataset.scale = isScores ? "scores" : "weights";
  }

  names(reading) {
    return Array.from(reading.ids, (id) => this.page.label(id));
  }

  // A cell in words; without one, what the grid shows.
  read(cell) {
    const { reading, layer, head } = this.page.looking, name = (i) => `${this.page.label(reading.ids[i])} (${reading.start + i + 1})`;
    if (!cell) this.find(".looks").textContent = `layer ${layer + 1}, head ${head + 1}: a row for each token, a column for each that it attends to`;
    else {
      const [t, s] = cell, weight = percent(reading.weights(layer, head, t)[s]), score = Numbers.figure(reading.scores(layer, head, t)[s]);
      this.find(".looks").textContent = `${name(t)} attends to ${name(s)} with ${weight}, score ${score}`;
    }
  }

  // What the chosen token attends to: the largest weights, and the sum of all others.
  showList({ reading, t, layer, head }) {
    const weights = reading.weights(layer, head, t), scores = reading.scores(layer, head, t), { LISTED } = parts.attention;
    const best = Sampling.ranked(weights, LISTED), others = weights.length - best.length;
    const rows = best.map((s) => element("tr", { "data-row": s, "data-id": reading.ids[s] }, [
      element("td", { text: reading.start + s + 1 }), element("th", { scope: "row", class: "label" }, [element("bdi", { text: this.page.label(reading.ids[s]) })]),
      Numbers.number(scores[s], "td"), Numbers.share(weights[s], "td"),
    ]));
    const rest = weights.reduce((sum, weight, s) => (best.includes(s) ? sum : sum + weight), 0);
    if (others) rows.push(element("tr", { class: "other" }, [element("td"), element("th", { scope: "row", text: `other (${quantity(others, "token")})` }), element("td"), Numbers.share(rest, "td")]));
    const names = ["", "token", "score", "weight"].map((text) => element("th", { scope: "col", text }));
    this.find(".attends").replaceChildren(
      element("caption", { text: `layer ${layer + 1}, head ${head + 1}: ${this.page.label(reading.ids[t])} (${reading.start + t + 1}) attends to` }),
      element("thead", {}, [element("tr", {}, names)]), element("tbody", {}, rows),
    );
  }

  showTable() {
    if (!this.find(".as-table").open || !this.rows) return;
    const { reading } = this.page.looking, names = this.names(reading), cell = this.how.isScores ? Numbers.number : Numbers.share;
    const named = (scope, text) => element("th", { scope }, [element("bdi", { text })]);
    this.find(".all-cells").replaceChildren(
      element("thead", {}, [element("tr", {}, [element("td"), ...names.map((text) => named("col", text))])]),
      element("tbody", {}, this.rows.map((row, t) => element("tr", {}, [named("row", names[t]), ...Array.from(row, (value) => cell(value, "td"))]))),
    );
  }
};

// Attention as lines over the text, from a token to those that it attends to.
class Lines {
  constructor(root, page) {
    this.page = page;
    this.frame = element("div");
    this.caption = element("p", { class: "sums" });
    root.append(this.frame, this.caption);
  }

  show({ reading, t, layer, head }) {
    if (this.reading !== reading) this.makeTokens(reading);
    const weights = reading.weights(layer, head, t), small = weights.filter((weight) => weight < Arcs.LEAST);
    this.tokens.forEach((token, i) => {
      token.setAttribute("aria-selected", i === t);
      token.setAttribute("tabindex", i === t ? 0 : -1);
      token.title = `${reading.start + i + 1} ${this.page.label(reading.ids[i])}: ${i <= t ? `attended to with ${percent(weights[i])}` : "comes later, masked"}`;
    });
    this.arcs.show(t, [{ hue: Arcs.hue(head, this.page.model.config.heads), weights: [...weights] }]);
    this.caption.textContent = "the thicker a line, the larger the weight" + (small.length
      ? ` · not drawn: ${quantity(small.length, "token")} with less than ${percent(Arcs.LEAST, 0)} each, together ${percent(small.reduce((sum, weight) => sum + weight, 0))}` : "");
  }

  makeTokens(reading) {
    const box = element("div", { "role": "listbox", "aria-orientation": "horizontal", "aria-label": "The token that looks. Arrow keys move from one to the next." });
    this.reading = reading;
    this.frame.replaceChildren(box);
    this.arcs = new Arcs(box, Array.from(reading.ids, (id) => this.page.label(id)));
    this.tokens = this.arcs.tokens;
    this.tokens.forEach((token, i) => {
      token.setAttribute("role", "option");
      token.dataset.id = reading.ids[i];
    });
    box.addEventListener("click", (event) => this.choose(this.arcs.at(event)));
    box.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const { t } = this.page.looking, last = this.tokens.length - 1;
    const target = { ArrowRight: Math.min(last, t + 1), ArrowLeft: Math.max(0, t - 1), Home: 0, End: last }[event.key];
    if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.choose(target);
  }

  choose(t) {
    if (t === null) return;
    this.page.lookAt(t);
    this.tokens[t].focus();
  }
}
