// What each part of a model adds directly to the logit of a token: direct logit attribution (Elhage et al., 2021).
//
// The residual stream of the last token is a sum of vectors, and the final norm is linear in them once its scale is that of
// this stream. So what the parts add sums to the logit. Everything is computed in float64.
const Attribution = (() => {
  function product(a, aStart, b, count) {
    let sum = 0;
    for (let i = 0; i < count; i += 1) sum += a[aStart + i] * b[i];
    return sum;
  }

  // The vector [C] whose product with a part of the stream is what this adds: centred, scaled, weighted, and multiplied by
  // the token's output vector in one.
  function direction({ model }, stream, id) {
    const { width: C, epsilon } = model.config, { deviation } = GPT.moments(stream, epsilon), towards = new Float64Array(C);
    let mean = 0;
    for (let c = 0; c < C; c += 1) mean += towards[c] = model.finalNorm.weight[c] * model.head[id * C + c];
    for (let c = 0; c < C; c += 1) towards[c] = (towards[c] - mean / C) / deviation;
    return towards;
  }

  // [{ name, key, adds }] of all parts, to the logit of the token `id` after the last token of a pass; `key` as in the
  // state's `without`, and null for what cannot be switched off.
  function contributions(reading, id) {
    const { model } = reading, { layers, heads, width: C } = model.config, { D } = model, t = reading.length - 1;
    const towards = direction(reading, reading.streamRow(layers, t), id);
    const found = [
      { name: "token embedding", key: null, adds: product(model.wte, reading.ids[t] * C, towards, C) },
      { name: "position embedding", key: null, adds: product(model.wpe, t * C, towards, C) },
    ];
    for (let layer = 0; layer < layers; layer += 1) {
      const { project } = model.blocks[layer], mixed = reading.mixed[layer];
      for (let head = 0; head < heads; head += 1) {
        let adds = 0;
        for (let c = head * D; c < (head + 1) * D; c += 1) adds += mixed[t * C + c] * product(project.weight, c * C, towards, C);
        found.push({ name: `layer ${layer + 1} head ${head + 1}`, key: `${layer + 1}.${head + 1}`, adds });
      }
      found.push({ name: `layer ${layer + 1} attention bias`, key: null, adds: product(project.bias, 0, towards, C) });
      found.push({ name: `layer ${layer + 1} mlp`, key: `${layer + 1}.mlp`, adds: product(reading.mlp[layer], t * C, towards, C) });
    }
    found.push({ name: "final norm bias", key: null, adds: product(model.finalNorm.bias, 0, model.head.subarray(id * C, (id + 1) * C), C) });
    return found;
  }

  return { contributions };
})();
