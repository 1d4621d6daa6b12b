// Interim: the softmax alone.
const Sampling = {
  steps(logits, history, stages) {
    const raw = GPT.softmax(logits);
    return { raw, entropyBits: -raw.reduce((sum, p) => sum + (p ? p * Math.log2(p) : 0), 0), results: [], final: raw };
  },
  draw(final, uniform) {
    let sum = 0;
    const id = final.findIndex((share) => (sum += share) > uniform);
    return id < 0 ? final.length - 1 : id;
  },
  ranked(values, count) {
    return [...values.keys()].sort((a, b) => values[b] - values[a] || a - b).slice(0, count);
  },
};
