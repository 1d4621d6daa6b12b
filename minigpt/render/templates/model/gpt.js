// GPT-2, whole, to be read from top to bottom, as models/gpt.py is: token ids go in, a logit for every token comes out.
//
//   T  tokens      C  width      H  heads      D  head width, C/H      I  inside the MLP      V  vocabulary
//
// Weights keep GPT-2's names and layout: matrices of blocks are [in, out]. What is stored is float32; sums are added up in
// float64, which is what a number is in JavaScript, and so is the softmax.
const GPT = (() => {
  const ACTIVATIONS = {
    gelu_new: (x) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))), // (1 + tanh(y)) / 2 is 1 / (1 + exp(-2 y))
    gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    quick_gelu: (x) => x / (1 + Math.exp(-1.702 * x)),
    relu: (x) => Math.max(0, x),
    silu: (x) => x / (1 + Math.exp(-x)),
    tanh: Math.tanh,
  };

  // The series near 0, and the continued fraction beyond it. Abramowitz and Stegun, 1964, 7.1.6 and 7.1.14.
  function erf(x) {
    const a = Math.abs(x), scale = (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a);
    if (a < 2.5) {
      let term = a, total = a;
      for (let n = 1; term > 1e-17 * total; n += 1) total += term *= (2 * a * a) / (2 * n + 1);
      return Math.sign(x) * scale * total;
    }
    let fraction = 0;
    for (let n = 60; n > 0; n -= 1) fraction = (n / 2) / (a + fraction);
    return Math.sign(x) * (1 - (scale / 2) / (a + fraction));
  }

  // rows [n, in] @ weight [in, out] + bias [out] -> [n, out]. Two rows at a time, so that a weight is loaded once for both. A
  // row's sum is added up in the same order, whether it is read alone or among others.
  function linear(rows, { weight, bias }) {
    const width = bias.length, inside = weight.length / width, count = rows.length / inside;
    const result = new Float32Array(count * width), sums = new Float64Array(width), next = new Float64Array(width);
    for (let n = 0; n < count; n += 2) {
      const x = rows.subarray(n * inside, (n + 1) * inside), isPair = n + 1 < count;
      sums.set(bias);
      if (isPair) {
        next.set(bias);
        multiplyPair(sums, next, x, rows.subarray((n + 1) * inside, (n + 2) * inside), weight);
        result.set(next, (n + 1) * width);
      } else multiply(sums, x, weight);
      result.set(sums, n * width);
    }
    return result;
  }

  // sums [out] += x [in] @ weight [in, out], four rows of the weight at a time: a sum is loaded once for four products.
  function multiply(sums, x, weight) {
    const width = sums.length, inside = x.length, fours = inside - (inside % 4);
    for (let i = 0; i < fours; i += 4) {
      const x0 = x[i], x1 = x[i + 1], x2 = x[i + 2], x3 = x[i + 3];
      for (let o = 0, w0 = i * width, w1 = w0 + width, w2 = w1 + width, w3 = w2 + width; o < width; o += 1, w0 += 1, w1 += 1, w2 += 1, w3 += 1) {
        sums[o] += x0 * weight[w0] + x1 * weight[w1] + x2 * weight[w2] + x3 * weight[w3];
      }
    }
    multiplyRest(sums, x, weight, fours);
  }

  // The same for two rows, x and y.
  function multiplyPair(sums, next, x, y, weight) {
    const width = sums.length, inside = x.length, fours = inside - (inside % 4);
    for (let i = 0; i < fours; i += 4) {
      const x0 = x[i], x1 = x[i + 1], x2 = x[i + 2], x3 = x[i + 3], y0 = y[i], y1 = y[i + 1], y2 = y[i + 2], y3 = y[i + 3];
      for (let o = 0, w0 = i * width, w1 = w0 + width, w2 = w1 + width, w3 = w2 + width; o < width; o += 1, w0 += 1, w1 += 1, w2 += 1, w3 += 1) {
        const a = weight[w0], b = weight[w1], c = weight[w2], d = weight[w3];
        sums[o] += x0 * a + x1 * b + x2 * c + x3 * d;
        next[o] += y0 * a + y1 * b + y2 * c + y3 * d;
      }
    }
    multiplyRest(sums, x, weight, fours);
    multiplyRest(next, y, weight, fours);
  }

  function multiplyRest(sums, x, weight, from) {
    for (let i = from, w = from * sums.length; i < x.length; i += 1) {
      for (let o = 0; o < sums.length; o += 1, w += 1) sums[o] += x[i] * weight[w];
    }
  }

  // Each row [C] less its mean, divided by its standard deviation, times the weight, plus the bias.
  function layerNorm(rows, { weight, bias }, epsilon) {
    const C = weight.length, result = new Float32Array(rows.length);
    for (let start = 0; start < rows.length; start += C) {
      const { mean, deviation } = moments(rows.subarray(start, start + C), epsilon);
      for (let c = 0; c < C; c += 1) result[start + c] = ((rows[start + c] - mean) / deviation) * weight[c] + bias[c];
    }
    return result;
  }

  function moments(row, epsilon) {
    let sum = 0, squares = 0;
    for (const x of row) sum += x;
    const mean = sum / row.length;
    for (const x of row) squares += (x - mean) ** 2;
    return { mean, deviation: Math.sqrt(squares / row.length + epsilon) };
  }

  function dot(a, aStart, b, bStart, count) {
    let sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0, i = 0; // four sums, which do not wait for each other
    for (; i + 3 < count; i += 4) {
      const p = aStart + i, q = bStart + i;
      sum0 += a[p] * b[q];
      sum1 += a[p + 1] * b[q + 1];
      sum2 += a[p + 2] * b[q + 2];
      sum3 += a[p + 3] * b[q + 3];
    }
    for (; i < count; i += 1) sum0 += a[aStart + i] * b[bStart + i];
    return sum0 + sum1 + (sum2 + sum3);
  }

  function added(a, b) {
    const sums = new Float32Array(a.length);
    for (let i = 0; i < a.length; i += 1) sums[i] = a[i] + b[i];
    return sums;
  }

  function activated(rows, activation) {
    const result = new Float32Array(rows.length);
    for (let i = 0; i < rows.length; i += 1) result[i] = activation(rows[i]);
    return result;
  }

  function softmax(scores) {
    let largest = -Infinity, total = 0;
    for (let i = 0; i < scores.length; i += 1) if (scores[i] > largest) largest = scores[i];
    const weights = new Float64Array(scores.length);
    for (let i = 0; i < scores.length; i += 1) total += weights[i] = Math.exp(scores[i] - largest);
    for (let i = 0; i < scores.length; i += 1) weights[i] /= total;
    return weights;
  }

  // Which parts are switched off: a set of "2.3" (head 3 of layer 2) and "2.mlp", and what stands in their place: "zero", or
  // "mean", their mean over the tokens that are read.
  const NOTHING = Object.freeze({ parts: new Set(), to: "zero" });

  class Model {
    // config: { layers, heads, width, context, vocabulary, inside, activation, epsilon }
    // tensors: Float32Arrays by GPT-2's names; without lm_head.weight, the output head is wte.
    constructor(config, tensors) {
      this.config = config;
      this.D = config.width / config.heads;
      this.wte = tensors["wte.weight"]; // [V, C]
      this.wpe = tensors["wpe.weight"]; // [context, C]
      this.head = tensors["lm_head.weight"] ?? this.wte; // [V, C]
      this.activation = ACTIVATIONS[config.activation];
      const pair = (name) => ({ weight: tensors[`${name}.weight`], bias: tensors[`${name}.bias`] });
      this.finalNorm = pair("ln_f");
      this.blocks = Array.from({ length: config.layers }, (_, i) => ({
        norm1: pair(`h.${i}.ln_1`), qkv: pair(`h.${i}.attn.c_attn`), project: pair(`h.${i}.attn.c_proj`),
        norm2: pair(`h.${i}.ln_2`), widen: pair(`h.${i}.mlp.c_fc`), narrow: pair(`h.${i}.mlp.c_proj`),
      }));
    }

    // The index of the first token that is still seen: of a full window, the newer half is kept, as on the command line.
    windowStart(length) {
      const { context } = this.config, step = context - Math.floor(context / 2);
      return length <= context ? 0 : Math.ceil((length - context) / step) * step;
    }

    // A pass over the ids. What `from`, an earlier pass with the same parts, has already read is not read again, nor are
    // the layers before the first part that is switched off, if `beside` is a pass of the whole model over the same ids.
    read(ids, options) {
      const reading = this.begin(ids, options);
      while (reading.layer < this.config.layers) reading.readLayer();
      return reading;
    }

    // A pass that has read nothing yet: its readLayer() reads a layer, `layer`, the next one.
    begin(ids, { without = NOTHING, from = null, beside = null } = {}) {
      return new Reading(this, ids, without, from, beside);
    }

    // The residual stream of a token [C] -> logits [V]
    unembed(x) {
      const { vocabulary, width, epsilon } = this.config;
      const normed = layerNorm(x, this.finalNorm, epsilon), logits = new Float32Array(vocabulary);
      for (let id = 0; id < vocabulary; id += 1) logits[id] = dot(this.head, id * width, normed, 0, width);
      return logits;
    }
  }

  // The rows [C] of one pass, or of several that each continue the one before, by layer.
  class Memory {
    static NAMES = ["stream", "queries", "keys", "values", "mixed", "mlp"];

    constructor({ layers, width, context }, length) {
      this.room = Math.min(context, 2 * length); // tokens
      this.used = 0;
      const make = (count) => Array.from({ length: count }, () => new Float32Array(this.room * width));
      this.stream = make(layers + 1); // the embeddings, then the output of each block
      this.queries = make(layers);
      this.keys = make(layers);
      this.values = make(layers);
      this.mixed = make(layers); // of each head, the weighted mean of the values [H, D]
      this.mlp = make(layers); // what the MLP adds
    }
  }

  // A pass over a text, and everything that was computed on the way: the arrays of Memory, with a row for each token of the
  // window.
  class Reading {
    constructor(model, ids, without, from, beside) {
      this.model = model;
      this.without = without;
      this.all = ids;
      this.start = model.windowStart(ids.length);
      this.ids = ids.slice(this.start);
      this.length = this.ids.length;
      this.reused = this.alike(from);
      this.known = new Map(); // logits, by layer and token
      const { layers, heads } = model.config, kept = (found) => found?.slice(0, this.reused) ?? [];
      this.attention = Array.from({ length: layers }, (_, i) => Array.from({ length: heads }, (_, h) => kept(from?.attention[i]?.[h]))); // weights by t
      this.favourites = Array.from({ length: layers + 1 }, (_, i) => kept(from?.favourites[i])); // of the lens, by t
      this.take(from);
      this.keepLogits(from);
      this.layer = this.reused < this.length ? 0 : model.config.layers; // the next to be read
      if (beside && !this.reused) this.takeLayers(beside);
      if (this.layer === 0) this.embed();
    }

    // How many tokens at the beginning `from` has read in the same way.
    alike(from) {
      if (!from || from.model !== this.model || from.start !== this.start || from.without !== this.without) return 0;
      if (this.without.to === "mean" && this.without.parts.size) return 0; // a mean changes with every token
      let same = 0;
      while (same < Math.min(this.length, from.length) && this.ids[same] === from.ids[same]) same += 1;
      return same;
    }

    // Takes what `from` has computed of these tokens. A pass that only goes on writes into the same memory, after its rows,
    // unless another one has gone on there already.
    take(from) {
      const { width: C } = this.model.config, isNext = this.reused > 0 && this.reused === from.memory.used && this.length <= from.memory.room;
      this.memory = isNext ? from.memory : new Memory(this.model.config, this.length);
      this.memory.used = this.length;
      for (const name of Memory.NAMES) {
        this[name] = this.memory[name].map((rows) => rows.subarray(0, this.length * C));
        if (!isNext && this.reused) this[name].forEach((rows, i) => rows.set(from[name][i].subarray(0, this.reused * C)));
      }
    }

    // Those of the last token are the ones that the next token is drawn from.
    keepLogits(from) {
      const last = `${this.model.config.layers} ${this.reused - 1}`;
      if (this.reused && from.known.has(last)) this.known.set(last, from.known.get(last));
    }

    // Takes the layers before the first part that is switched off.
    takeLayers(beside) {
      const changed = Math.min(...[...this.without.parts].map((part) => parseInt(part, 10) - 1), this.model.config.layers);
      for (const name of Memory.NAMES) {
        for (let layer = 0; layer < changed; layer += 1) this[name][layer].set(beside[name][layer]);
      }
      this.stream[changed].set(beside.stream[changed]);
      this.layer = changed;
    }

    embed() {
      const { wte, wpe, config: { width: C } } = this.model;
      for (let t = this.reused; t < this.length; t += 1) {
        for (let c = 0; c < C; c += 1) this.stream[0][t * C + c] = wte[this.ids[t] * C + c] + wpe[t * C + c];
      }
    }

    // Attention, then the MLP, each on a normalised copy and added to the residual stream.
    readLayer() {
      const layer = this.layer, { width: C, epsilon } = this.model.config, block = this.model.blocks[layer];
      const from = this.reused * C;
      const x = this.stream[layer].subarray(from); // [n, C]
      const qkv = linear(layerNorm(x, block.norm1, epsilon), block.qkv); // [n, 3 C]
      for (let n = 0; n < this.length - this.reused; n += 1) {
        [this.queries, this.keys, this.values].forEach((rows, i) => {
          rows[layer].set(qkv.subarray((3 * n + i) * C, (3 * n + i + 1) * C), from + n * C);
        });
      }
      for (let t = this.reused; t < this.length; t += 1) this.mix(layer, t);
      this.switchOffHeads(layer);
      const between = added(x, linear(this.mixed[layer].subarray(from), block.project)); // [n, C]
      const inside = linear(layerNorm(between, block.norm2, epsilon), block.widen); // [n, I]
      this.mlp[layer].set(linear(activated(inside, this.model.activation), block.narrow), from);
      if (this.without.parts.has(`${layer + 1}.mlp`)) this.switchOff(this.mlp[layer], C, 0, C);
      this.stream[layer + 1].set(added(between, this.mlp[layer].subarray(from)), from);
      this.layer += 1;
    }

    // Each head's weighted mean of the values for the token t.
    mix(layer, t) {
      const { config: { width: C, heads }, D } = this.model, values = this.values[layer], mixed = this.mixed[layer];
      for (let head = 0; head < heads; head += 1) {
        const weights = this.weights(layer, head, t), sums = new Float64Array(D);
        for (let s = 0; s <= t; s += 1) {
          for (let d = 0; d < D; d += 1) sums[d] += weights[s] * values[s * C + head * D + d];
        }
        mixed.set(sums, t * C + head * D);
      }
    }

    switchOffHeads(layer) {
      const { config: { width: C, heads }, D } = this.model;
      for (let head = 0; head < heads; head += 1) {
        if (this.without.parts.has(`${layer + 1}.${head + 1}`)) this.switchOff(this.mixed[layer], C, head * D, D);
      }
    }

    // Puts zero, or the mean over all tokens, in place of some of the columns of rows [T, C].
    switchOff(rows, C, first, count) {
      for (let c = first; c < first + count; c += 1) {
        let sum = 0;
        for (let t = 0; t < this.length; t += 1) sum += rows[t * C + c];
        const instead = this.without.to === "mean" ? sum / this.length : 0;
        for (let t = 0; t < this.length; t += 1) rows[t * C + c] = instead;
      }
    }

    // --- what a head computes; layers and heads are counted from 0 here

    // The token t's query times the key of each token up to t, divided by the root of the head width [t + 1].
    scores(layer, head, t) {
      const { config: { width: C }, D } = this.model, first = head * D;
      const result = new Float64Array(t + 1);
      for (let s = 0; s <= t; s += 1) {
        result[s] = dot(this.queries[layer], t * C + first, this.keys[layer], s * C + first, D) / Math.sqrt(D);
      }
      return result;
    }

    // How much the token t attends to each token up to itself [t + 1].
    weights(layer, head, t) {
      return this.attention[layer][head][t] ??= softmax(this.scores(layer, head, t));
    }

    // What a head adds to the residual stream of the token t [C]: its mix times its rows of c_proj.
    headAdds(layer, head, t) {
      const { config: { width: C }, D, blocks } = this.model, { weight } = blocks[layer].project;
      return linear(this.headRow("mixed", layer, head, t), { weight: weight.subarray(head * D * C, (head + 1) * D * C), bias: new Float32Array(C) });
    }

    // A head's part [D] of a row: of its query, key, value or mix, by the name of the array.
    headRow(name, layer, head, t) {
      const { config: { width: C }, D } = this.model;
      return this[name][layer].subarray(t * C + head * D, t * C + (head + 1) * D);
    }

    // A row [C] of the stream: before the first block (layer 0), or after the block `layer`.
    streamRow(layer, t) {
      const C = this.model.config.width;
      return this.stream[layer].subarray(t * C, (t + 1) * C);
    }

    // What a block does to the token t, step by step: each a row [C], except `hidden` and `active` [I].
    steps(layer, t) {
      const { config: { width: C, epsilon }, blocks, activation } = this.model, block = blocks[layer];
      const row = (rows) => rows.subarray(t * C, (t + 1) * C);
      const before = row(this.stream[layer]), normed1 = layerNorm(before, block.norm1, epsilon);
      const attention = linear(row(this.mixed[layer]), block.project), between = added(before, attention);
      const normed2 = layerNorm(between, block.norm2, epsilon), hidden = linear(normed2, block.widen);
      const active = activated(hidden, activation);
      return { before, normed1, attention, between, normed2, hidden, active, mlp: row(this.mlp[layer]), after: row(this.stream[layer + 1]) };
    }

    // The logits [V] of what follows the token t.
    logits(t = this.length - 1) {
      return this.lens(this.model.config.layers, t);
    }

    // The same, without keeping them, for those who want them of every token.
    logitsUncached(t) {
      return this.known.get(`${this.model.config.layers} ${t}`) ?? this.model.unembed(this.streamRow(this.model.config.layers, t));
    }

    // The logits [V] that the stream after `layer` blocks would give: the logit lens (nostalgebraist, 2020).
    lens(layer, t = this.length - 1) {
      const key = `${layer} ${t}`;
      if (!this.known.has(key)) this.known.set(key, this.model.unembed(this.streamRow(layer, t)));
      return this.known.get(key);
    }

    // The token that the logit lens finds most likely, and how likely: { id, share }.
    favourite(layer, t) {
      return this.favourites[layer][t] ??= this.mostLikely(this.known.get(`${layer} ${t}`) ?? this.model.unembed(this.streamRow(layer, t)));
    }

    mostLikely(logits) {
      const shares = softmax(logits);
      let id = 0;
      for (let other = 1; other < shares.length; other += 1) if (logits[other] > logits[id]) id = other;
      return { id, share: shares[id] };
    }
  }

  return { Model, NOTHING, ACTIVATIONS, layerNorm, linear, moments, softmax, dot };
})();
