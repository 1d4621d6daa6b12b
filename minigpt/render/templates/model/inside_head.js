// What an attention head does for a token: scores, mask, softmax and the mean of the values; then its way back.
stations.head = class extends Station {
  static MOST = 10; // tokens that are attended to and listed
  static LATER = 2; // tokens behind the mask that are listed

  make() {
    this.source = null; // the place in the window of the token that is attended to; null for the one with the largest weight
    this.table = element("table", { class: "scores" });
    this.body.append(
      this.vector("query", "D"), element("div", { class: "wide" }, [this.table]), this.vector("key", "D"), this.products("product"),
      this.line("score"), this.line("softmax"), this.vector("value", "D"), this.vector("mix", "D"), this.products("mean"),
    );
  }

  draw(at) {
    const { reading, t, layer, head } = at, d = this.chosen.D;
    const scores = reading.scores(layer, head, t), weights = reading.weights(layer, head, t);
    const s = this.source !== null && this.source <= t ? this.source : Math.max(0, weights.indexOf(weights.reduce((a, b) => Math.max(a, b))));
    const row = (name, of) => reading.headRow(name, layer, head, of);
    const names = Array.from(weights, (_, i) => `${reading.start + i + 1} ${this.page.label(reading.ids[i])}`);
    this.fill("query", row("queries", t), `of ${names[t]}`);
    this.drawTable(at, scores, weights, s, names);
    this.fill("key", row("keys", s), `of ${names[s]}`);
    this.fill("value", row("values", s), `of ${names[s]}`);
    this.fill("mix", row("mixed", t), "the mean of the values by the weights");
    const order = Sampling.ranked(weights, weights.length);
    this.showArithmetic(row("queries", t), row("keys", s), scores, weights, s);
    this.mean.show({
      before: [`component ${d + 1}: weights · values`], names: ["token", "weight", "value"], rows: order.map((i) => names[i]),
      left: order.map((i) => weights[i]), right: order.map((i) => row("values", i)[d]), result: row("mixed", t)[d],
    });
  }

  showArithmetic(query, key, scores, weights, s) {
    const { formula } = Numbers, D = query.length, root = Math.sqrt(D), product = GPT.dot(query, 0, key, 0, D);
    this.product.show({ before: ["q · k"], names: ["component", "query", "key"], left: query, right: key, result: product });
    this.score.replaceChildren(...formula`score: q · k / √${String(D)} = ${product} / ${root} = ${scores[s]}`);
    this.score.dataset.result = scores[s];
    const largest = Math.max(...scores), exponentials = scores.map((x) => Math.exp(x - largest));
    const total = exponentials.reduce((sum, x) => sum + x, 0), sorted = exponentials.toSorted((a, b) => b - a);
    this.softmax.replaceChildren(...formula`weight: e^(score − largest score) / sum = e^(${scores[s]} − ${Numbers.factor(largest)}) / ${sorted.length > 1 ? ["(", ...Numbers.sum(sorted), ")"] : Numbers.sum(sorted)} = ${exponentials[s]} / ${total} = ${Numbers.share(weights[s])}`);
    this.softmax.dataset.result = weights[s];
  }

  // The tokens with the largest weights, in the order of the text, then all others; and the first behind the mask.
  drawTable({ reading, t, layer, head }, scores, weights, s, names) {
    const { MOST, LATER } = stations.head;
    const best = new Set([s, ...Sampling.ranked(weights, MOST)]), listed = [...weights.keys()].filter((i) => best.has(i));
    const rows = listed.map((i) => this.row({ reading, layer, head }, i, names[i], scores[i], weights[i], i === s));
    const others = weights.length - listed.length;
    if (others) {
      const rest = weights.reduce((sum, weight, i) => (best.has(i) ? sum : sum + weight), 0);
      rows.push(element("tr", { class: "other" }, [element("th", { scope: "row", colspan: 4, text: `other (${quantity(others, "token")})` }), Numbers.share(rest, "td"), element("td")]));
    }
    const later = reading.length - 1 - t;
    for (let i = t + 1; i <= Math.min(t + LATER, reading.length - 1); i += 1) rows.push(this.masked({ reading, t, layer, head }, i));
    if (later > LATER) rows.push(element("tr", { class: "gone" }, [element("th", { scope: "row", colspan: 3, text: `${quantity(later - LATER, "more later token")}` }), element("td", { text: "masked" }), element("td", { text: percent(0) }), element("td")]));
    const heads = ["token", "key", "q · k", `/ √${this.page.model.D}`, "softmax", "value"].map((text) => element("th", { scope: "col", text }));
    this.table.replaceChildren(element("thead", {}, [element("tr", {}, heads)]), element("tbody", {}, rows));
  }

  row({ reading, layer, head }, i, name, score, weight, isChosen) {
    const button = element("button", { "type": "button", "aria-pressed": isChosen, "data-source": i }, [element("bdi", { text: name })]);
    button.addEventListener("click", () => {
      this.source = i;
      this.show();
      this.table.querySelector(`[data-source="${i}"]`)?.focus();
    });
    const picture = (array, what) => element("td", {}, [Vector.picture(reading.headRow(array, layer, head, i), `${what} of ${name}`)]);
    return element("tr", { "class": isChosen ? "chosen" : "", "data-row": i }, [
      element("th", { scope: "row" }, [button]), picture("keys", "key"),
      Numbers.number(score * Math.sqrt(this.page.model.D), "td"), Numbers.number(score, "td"), Numbers.share(weight, "td"), picture("values", "value"),
    ]);
  }

  // A later token: its product exists, but the mask puts −∞ in its place.
  masked({ reading, t, layer, head }, i) {
    const row = (name, of) => reading.headRow(name, layer, head, of), D = this.page.model.D;
    return element("tr", { class: "gone" }, [
      element("th", { scope: "row" }, [element("bdi", { text: `${reading.start + i + 1} ${this.page.label(reading.ids[i])}` })]),
      element("td", {}, [Vector.picture(row("keys", i), "key of a later token")]),
      Numbers.number(GPT.dot(row("queries", t), 0, row("keys", i), 0, D), "td"), element("td", { text: "−∞, masked" }), element("td", { text: percent(0) }), element("td"),
    ]);
  }
};

stations.back = class extends Station {
  make() {
    this.body.append(
      this.vector("mix", "D"), this.vector("what the head adds", "C"), this.products("added"), this.vector("all heads and the bias", "C"),
      this.line("heads"), this.vector("stream", "C"), this.vector("stream with attention", "C"), this.line("sum"),
    );
  }

  draw({ reading, t, layer, head }) {
    const { model } = this.page, { config: { heads, width: C }, D } = model, { project } = model.blocks[layer], c = this.chosen.C;
    const { before, attention, between } = reading.steps(layer, t), mix = reading.headRow("mixed", layer, head, t);
    const adds = Array.from({ length: heads }, (_, h) => reading.headAdds(layer, h, t)), parts = adds.map((row) => row[c]);
    this.fill("mix", mix, `of head ${head + 1}`);
    this.fill("what the head adds", adds[head]);
    this.added.show({
      before: [`component ${c + 1}: mix · column ${c + 1} of the head's rows of c_proj`], names: ["component", "mix", "weight"],
      left: mix, right: Numbers.column(project.weight.subarray(head * D * C, (head + 1) * D * C), C, c), result: adds[head][c],
    });
    this.fill("all heads and the bias", attention);
    this.heads.replaceChildren(...Numbers.formula`component ${String(c + 1)}: the heads + bias = ${Numbers.sum(parts)} + ${Numbers.factor(project.bias[c])} = ${attention[c]}`);
    this.fill("stream", before, layer ? `after layer ${layer}` : "the embeddings");
    this.fill("stream with attention", between);
    this.sum.replaceChildren(...Numbers.formula`component ${String(c + 1)}: stream + attention = ${before[c]} + ${Numbers.factor(attention[c])} = ${between[c]}`);
  }
};
