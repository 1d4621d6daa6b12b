// A layer's MLP; and the residual stream, to which all layers add.
stations.mlp = class extends Station {
  static WRITTEN = {
    gelu_new: "½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))", gelu: "x Φ(x)", quick_gelu: "x / (1 + e^(−1.702 x))", relu: "max(0, x)",
    silu: "x / (1 + e^(−x))", tanh: "tanh(x)",
  };

  make() {
    this.body.append(
      this.vector("normalised", "C"), this.line("norm"), this.vector("widened", "I"), this.products("wide"), this.vector("activated", "I"),
      this.line("activation"), this.vector("narrowed", "C"), this.products("narrow"), this.vector("stream after the layer", "C"), this.line("sum"),
    );
  }

  draw({ reading, t, layer }) {
    const { model } = this.page, { config, blocks } = model, { norm2, widen, narrow } = blocks[layer], { C: c, I: i } = this.chosen;
    const { between, normed2, hidden, active, mlp, after } = reading.steps(layer, t);
    this.fill("normalised", normed2, "by ln_2");
    this.norm.replaceChildren(...Numbers.norm(between, normed2, norm2, config.epsilon, c));
    this.fill("widened", hidden, "by c_fc");
    this.wide.show({
      before: [`component ${i + 1}: normalised vector · column ${i + 1} of c_fc + bias`], names: ["component", "vector", "weight"],
      left: normed2, right: Numbers.column(widen.weight, config.inside, i), bias: widen.bias[i], result: hidden[i],
    });
    this.fill("activated", active, `by ${config.activation}`);
    this.activation.replaceChildren(...Numbers.formula`component ${String(i + 1)}: ${config.activation}(x) = ${stations.mlp.WRITTEN[config.activation]}; ${config.activation}(${hidden[i]}) = ${active[i]}`);
    this.fill("narrowed", mlp, "by c_proj: what the MLP adds");
    this.narrow.show({
      before: [`component ${c + 1}: activated vector · column ${c + 1} of c_proj + bias`], names: ["component", "activated", "weight"],
      left: active, right: Numbers.column(narrow.weight, config.width, c), bias: narrow.bias[c], result: mlp[c],
    });
    this.fill("stream after the layer", after);
    this.sum.replaceChildren(...Numbers.formula`component ${String(c + 1)}: stream + MLP = ${between[c]} + ${Numbers.factor(mlp[c])} = ${after[c]}`);
  }
};

stations.stream = class extends Station {
  make() {
    this.table = element("table", { class: "stream" });
    this.body.append(
      this.vector("stream", "C"), this.line("sum"), element("div", { class: "wide" }, [this.table]),
      element("p", { class: "sums", text: "length: the root of the sum of the squares of all components" }),
    );
  }

  draw({ reading, t }) {
    const { layers } = this.page.model.config, c = this.chosen.C, last = reading.streamRow(layers, t);
    const added = [["embeddings", reading.streamRow(0, t), reading.streamRow(0, t)]];
    for (let layer = 0; layer < layers; layer += 1) {
      const { attention, between, mlp, after } = reading.steps(layer, t);
      added.push([`layer ${layer + 1} attention`, attention, between], [`layer ${layer + 1} MLP`, mlp, after]);
    }
    this.fill("stream", last, "after the last layer");
    this.sum.replaceChildren(...Numbers.formula`component ${String(c + 1)}: ${Numbers.sum(added.map(([, row]) => row[c]))} = ${last[c]}`);
    const heads = ["", "what is added", "its length", `its component ${c + 1}`, "length of the stream", `component ${c + 1} of the stream`];
    this.table.replaceChildren(
      element("thead", {}, [element("tr", {}, heads.map((text) => element("th", { scope: "col", text })))]),
      element("tbody", {}, added.map(([name, row, stream]) => element("tr", { "data-added": name }, [
        element("th", { scope: "row", text: name }), element("td", {}, [Vector.picture(row, `what is added: ${name}`)]),
        Numbers.number(Numbers.length(row), "td"), Numbers.number(row[c], "td"), Numbers.number(Numbers.length(stream), "td"), Numbers.number(stream[c], "td"),
      ]))),
    );
  }
};
