// The last stations: the final norm, the logits, and the softmax that makes probabilities of them.
stations.norm = class extends Station {
  make() {
    this.body.append(this.vector("stream", "C"), this.vector("normalised", "C"), this.line("formula"));
  }

  draw({ reading, t }) {
    const { finalNorm, config: { layers, epsilon } } = this.page.model, x = reading.streamRow(layers, t);
    const normed = GPT.layerNorm(x, finalNorm, epsilon);
    this.fill("stream", x, "after the last layer");
    this.fill("normalised", normed, "by ln_f");
    this.formula.replaceChildren(...Numbers.norm(x, normed, finalNorm, epsilon, this.chosen.C));
  }
};

// A station with a list of the most likely tokens, one of which is chosen, by its id; null for the first.
class ListStation extends Station {
  static MOST = 10;

  make() {
    this.token = null;
    this.table = element("table", { class: "output" });
    this.body.append(element("div", { class: "wide" }, [this.table]), ...this.behind());
  }

  draw(at) {
    const logits = at.reading.logits(at.t), best = Sampling.ranked(logits, ListStation.MOST);
    this.drawList(at, logits, best, best.includes(this.token) ? this.token : best[0]);
  }

  row(id, isChosen, cells) {
    const button = element("button", { "type": "button", "aria-pressed": isChosen, "data-id": id }, [element("bdi", { text: this.page.label(id) })]);
    button.addEventListener("click", () => {
      this.token = id;
      this.show();
      this.table.querySelector(`[data-id="${id}"]`)?.focus();
    });
    return element("tr", { "class": isChosen ? "chosen" : "", "data-row": id }, [element("th", { scope: "row" }, [button]), ...cells]);
  }

  fillTable(heads, rows, others, cells) {
    const other = element("tr", { class: "other" }, [element("th", { scope: "row", text: `other (${quantity(others, "token")})` }), ...cells]);
    this.table.replaceChildren(
      element("thead", {}, [element("tr", {}, heads.map((text) => element("th", { scope: "col", text })))]),
      element("tbody", {}, others ? [...rows, other] : rows),
    );
  }
}

stations.logits = class extends ListStation {
  behind() {
    return [this.vector("normalised", "C"), this.vector("output vector", "C"), this.products("product")];
  }

  drawList({ reading, t }, logits, best, id) {
    const { finalNorm, head, wte, config: { layers, epsilon, width: C, vocabulary } } = this.page.model;
    const normed = GPT.layerNorm(reading.streamRow(layers, t), finalNorm, epsilon), output = head.subarray(id * C, (id + 1) * C);
    const rest = logits.filter((_, other) => !best.includes(other)), most = rest.reduce((a, b) => Math.max(a, b), -Infinity);
    const cells = [element("td", { text: `at most ${Numbers.figure(most)}`, title: most })];
    this.fillTable(["token", "logit"], best.map((each) => this.row(each, each === id, [Numbers.number(logits[each], "td")])), vocabulary - best.length, cells);
    this.fill("normalised", normed, "by ln_f");
    this.fill("output vector", output, `of ${this.page.label(id)}, row ${id} of ${head === wte ? "wte" : "lm_head"}`);
    this.product.show({ before: ["logit: normalised vector · output vector"], names: ["component", "vector", "output"], left: normed, right: output, result: logits[id] });
  }
};

stations.softmax = class extends ListStation {
  behind() {
    return [this.line("formula"), this.line("total")];
  }

  drawList(at, logits, best, id) {
    const { formula, number, share } = Numbers, shares = GPT.softmax(logits), largest = logits[best[0]];
    const power = (logit) => Math.exp(logit - largest), sum = logits.reduce((total, logit) => total + power(logit), 0);
    const rows = best.map((each) => this.row(each, each === id, [
      number(logits[each], "td"), number(logits[each] - largest, "td"), number(power(logits[each]), "td"), share(shares[each], "td"),
    ]));
    const listed = new Set(best), others = shares.length - best.length;
    const added = (of) => shares.reduce((total, each, other) => (listed.has(other) ? total : total + of(each, other)), 0);
    const rest = added((each) => each);
    this.fillTable(["token", "logit", "logit − largest", "e^(logit − largest)", "probability"], rows, others, [
      element("td"), element("td"), number(added((_, other) => power(logits[other])), "td"), share(rest, "td"),
    ]);
    this.formula.replaceChildren(...formula`e^(logit − largest logit) / sum over the vocabulary = e^(${logits[id]} − ${Numbers.factor(largest)}) / ${sum} = ${power(logits[id])} / ${sum} = ${share(shares[id])}`);
    this.formula.dataset.result = shares[id];
    const shown = best.reduce((total, each) => total + shares[each], 0);
    this.total.replaceChildren(...formula`shown ${share(shown)} + other ${share(rest)} = ${share(shown + rest)}`);
  }
};
