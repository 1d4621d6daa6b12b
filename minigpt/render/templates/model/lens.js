// What each layer would predict: the best tokens after each block for one token, and the best one for all.
parts.lens = class {
  static BEST = 5;
  static SLICE = 25; // milliseconds of computing, between which the page can do other things

  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.find = (selector) => root.querySelector(selector);
    this.choosers = new Choosers(this.find(".tools"), page, ["token"]);
    this.grid = this.find(".lens-grid");
    this.grid.addEventListener("click", (event) => {
      const cell = event.target.closest("[data-t]");
      if (cell) page.lookAt(Number(cell.dataset.t));
    });
  }

  show() {
    const { looking } = this.page;
    this.choosers.show();
    this.showRows(looking);
    this.showGrid(looking);
  }

  layerName(layer) {
    return layer ? `layer ${layer}` : "embeddings";
  }

  showRows({ reading, t }) {
    const { layers, vocabulary } = this.page.model.config, { BEST } = parts.lens, others = Math.max(0, vocabulary - BEST);
    const final = Sampling.ranked(reading.logits(t), 1)[0];
    const rows = Array.from({ length: layers + 1 }, (_, layer) => {
      const logits = reading.lens(layer, t), shares = GPT.softmax(logits), best = Sampling.ranked(logits, BEST);
      const rest = shares.reduce((sum, share, id) => (best.includes(id) ? sum : sum + share), 0);
      const rank = 1 + logits.reduce((count, logit) => count + (logit > logits[final] ? 1 : 0), 0);
      return element("tr", { "data-layer": layer }, [
        element("th", { scope: "row", text: this.layerName(layer) }),
        Numbers.share(shares[final], "td"), element("td", { "text": `#${rank.toLocaleString("en")}`, "data-rank": rank }),
        ...best.map((id) => element("td", { "class": id === final ? "best final" : "best", "data-id": id }, [element("bdi", { text: this.page.label(id) }), " ", Numbers.share(shares[id])])),
        ...(others ? [Numbers.share(rest, "td")] : []),
      ]);
    });
    const names = ["after", `probability of ${this.page.label(final)}`, "its rank", ...Array.from({ length: vocabulary - others }, (_, i) => `#${i + 1}`), ...(others ? [`other (${quantity(others, "token")})`] : [])];
    this.find(".rows-of-lens").replaceChildren(
      element("thead", {}, [element("tr", {}, names.map((text) => element("th", { scope: "col" }, [element("bdi", { text })])))]), element("tbody", {}, rows),
    );
    this.find(".follows").textContent = `what would follow token ${reading.start + t + 1}, ${this.page.label(reading.ids[t])} · the last row is the model's output; ${this.page.label(final)} is its most likely token`;
  }

  // A cell for each layer and token, which are computed bit by bit, the newest token first.
  showGrid({ reading, t }) {
    const { layers } = this.page.model.config;
    const heads = Array.from(reading.ids, (id, i) => element("th", { "scope": "col", "class": i === t ? "chosen" : "", "data-t": i, "title": `token ${reading.start + i + 1}` }, [element("bdi", { text: this.page.label(id) })]));
    this.cells = Array.from({ length: layers + 1 }, () => Array.from(reading.ids, (_, i) => element("td", { "class": i === t ? "chosen" : "", "data-t": i })));
    this.grid.replaceChildren(
      element("thead", {}, [element("tr", {}, [element("td"), ...heads])]),
      element("tbody", {}, this.cells.map((row, layer) => element("tr", { "data-layer": layer }, [element("th", { scope: "row", text: this.layerName(layer) }), ...row]))),
    );
    this.grid.dataset.done = "";
    this.left = Array.from(reading.ids, (_, i) => i);
    this.fill(reading);
  }

  fill(reading) {
    clearTimeout(this.later);
    const until = performance.now() + parts.lens.SLICE;
    while (this.left.length && performance.now() < until) this.fillColumn(reading, this.left.pop());
    if (this.left.length) this.later = setTimeout(() => this.fill(reading));
    else this.finish();
  }

  // Brings the chosen token into view, once all columns have their width.
  finish() {
    const wide = this.grid.parentNode, chosen = this.grid.querySelector("th.chosen");
    wide.scrollLeft = chosen.offsetLeft - wide.clientWidth / 2;
    this.grid.dataset.done = "true";
  }

  fillColumn(reading, t) {
    this.cells.forEach((row, layer) => {
      const { id, share } = reading.favourite(layer, t), label = this.page.label(id), cell = row[t];
      cell.replaceChildren(element("bdi", { text: label }));
      cell.style.setProperty("--share", `${100 * share}%`);
      cell.classList.toggle("hit", id === reading.ids[t + 1]);
      cell.title = `${this.layerName(layer)}, after ${this.page.label(reading.ids[t])} (${reading.start + t + 1}): ${label} ${percent(share)}`;
      cell.dataset.id = id;
      cell.dataset.value = share;
    });
  }
};
