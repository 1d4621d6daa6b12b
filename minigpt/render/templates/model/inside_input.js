// The first stations: the embeddings; then, in a layer, the query, the key and the value of a head.
stations.embedding = class extends Station {
  make() {
    this.body.append(this.vector("token", "C"), this.vector("position", "C"), this.vector("sum", "C"), this.line("sums"));
  }

  draw({ reading, t }) {
    const { model: { wte, wpe, config: { width: C } } } = this.page, id = reading.ids[t];
    const token = wte.subarray(id * C, (id + 1) * C), position = wpe.subarray(t * C, (t + 1) * C), sum = reading.streamRow(0, t);
    this.fill("token", token, `${this.page.label(id)}, row ${id} of wte`);
    this.fill("position", position, `row ${t} of wpe, whose rows count from 0`);
    this.fill("sum", sum, "the residual stream begins");
    const c = this.chosen.C;
    this.sums.replaceChildren(...Numbers.formula`component ${String(c + 1)}: wte + wpe = ${token[c]} + ${Numbers.factor(position[c])} = ${sum[c]}`);
  }
};

stations.projections = class extends Station {
  make() {
    this.body.append(
      this.vector("stream", "C"), this.vector("normalised", "C"), this.line("norm"),
      ...["query", "key", "value"].flatMap((name) => [this.vector(name, "D"), this.products(`${name}Sum`)]),
    );
  }

  draw({ reading, t, layer, head }) {
    const { model } = this.page, { config: { width: C, epsilon }, D } = model, block = model.blocks[layer];
    const { before, normed1 } = reading.steps(layer, t);
    this.fill("stream", before, layer ? `after layer ${layer}` : "the embeddings");
    this.fill("normalised", normed1, "by ln_1");
    this.norm.replaceChildren(...Numbers.norm(before, normed1, block.norm1, epsilon, this.chosen.C));
    ["query", "key", "value"].forEach((name, i) => {
      const values = reading.headRow(["queries", "keys", "values"][i], layer, head, t), d = this.chosen.D, at = i * C + head * D + d;
      this.fill(name, values, `of head ${head + 1}`);
      this[`${name}Sum`].show({
        before: [`component ${d + 1}: normalised vector · column ${at + 1} of c_attn + bias`], names: ["component", "vector", "weight"],
        left: normed1, right: Numbers.column(block.qkv.weight, 3 * C, at), bias: block.qkv.bias[at], result: values[d],
      });
    });
  }
};
