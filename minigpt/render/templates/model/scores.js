// How expected each token of the text was, by the list that it was drawn from: surprisal, entropy and rank.
//
// Tokens keep their numbers while the text before them stays as it is.
class Scores {
  constructor() {
    this.known = []; // of each token {id, surprisal, entropy, rank}; null in place of numbers for the first
  }

  // Computes for `milliseconds` at most, and at least one token; whether all are done.
  add(page, milliseconds) {
    const { ids } = page, end = performance.now() + milliseconds;
    const same = this.known.findIndex(({ id }, place) => id !== ids[place]);
    if (same >= 0) this.known.length = same;
    do {
      const place = this.known.length;
      if (place >= ids.length) return true;
      this.known.push({ id: ids[place], ...(place ? Scores.of(page.logitsAfter(place), ids[place]) : {}) });
    } while (performance.now() < end);
    return this.known.length === ids.length;
  }

  // Of one token, in bits, from the distance to the largest logit, so that nothing underflows.
  static of(logits, id) {
    let largest = -Infinity, total = 0, weighted = 0, above = 0;
    for (const logit of logits) largest = Math.max(largest, logit);
    for (const logit of logits) {
      const weight = Math.exp(logit - largest);
      total += weight;
      if (weight) weighted += weight * (largest - logit);
      if (logit > logits[id]) above += 1;
    }
    const bits = (nats) => nats / Math.LN2;
    return { surprisal: bits(Math.log(total) + largest - logits[id]), entropy: bits(Math.log(total) + weighted / total), rank: above + 1 };
  }
}
