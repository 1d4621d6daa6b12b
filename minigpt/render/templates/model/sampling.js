// Logits to the distribution that a token is drawn from, by the filters of minigpt/sampling/filters.py.
//
// Everything is over the whole vocabulary and in float64. To add a filter, write its function into FILTERS under the name
// that it has in Python: it takes the logits, the ids of the text so far, and its setting, and returns new logits, -Infinity
// where it cuts. Of equal logits, those with the lowest ids are kept.
const Sampling = (() => {
  const CUT = -Infinity;

  const FILTERS = {
    // Adds to the logits of single tokens: `pairs` of an id, each at most once, and a finite amount.
    "bias"(logits, history, pairs) {
      const ids = new Set(pairs.map(([id]) => id));
      require(ids.size === pairs.length, "a token can have one bias only.");
      require(pairs.every(([id, amount]) => Number.isInteger(id) && id in logits && Number.isFinite(amount)), "a bias must be a finite number, of a token of the vocabulary.");
      const amounts = new Map(pairs);
      return logits.map((logit, id) => (amounts.has(id) ? logit + amounts.get(id) : logit));
    },

    // Positive logits of the text's tokens are divided, the others multiplied.
    "repetition-penalty"(logits, history, penalty) {
      require(penalty > 0 && penalty < Infinity, `the repetition penalty must be above 0, not ${penalty}.`);
      const seen = new Set(history);
      return logits.map((logit, id) => (!seen.has(id) ? logit : logit > 0 ? logit / penalty : logit * penalty));
    },

    // Subtracts the penalty from the logit of every token of the text, once.
    "presence-penalty"(logits, history, penalty) {
      require(Number.isFinite(penalty), `the presence penalty must be a finite number, not ${penalty}.`);
      const seen = new Set(history);
      return logits.map((logit, id) => (seen.has(id) ? logit - penalty : logit));
    },

    // Subtracts the penalty once for each time that the token occurs in the text.
    "frequency-penalty"(logits, history, penalty) {
      require(Number.isFinite(penalty), `the frequency penalty must be a finite number, not ${penalty}.`);
      const counts = new Float64Array(logits.length);
      for (const id of history) counts[id] += 1;
      return logits.map((logit, id) => logit - penalty * counts[id]);
    },

    // 0 keeps only the largest. Where a tiny temperature overflows, the largest logit becomes 0, and only others do.
    "temperature"(logits, history, temperature) {
      require(temperature >= 0 && temperature < Infinity, `the temperature must be 0 or more, not ${temperature}.`);
      const best = largest(logits);
      if (temperature === 0) return keepLargest(logits, best, 1);
      const divided = logits.map((logit) => logit / temperature);
      return Number.isFinite(best / temperature) ? divided : logits.map((logit) => (logit - best) / temperature);
    },

    // Keeps the logits that are at most n standard deviations of all that is left below the largest; 0 cuts nothing.
    "top-n-sigma"(logits, history, n) {
      require(n >= 0 && n < Infinity, `top-n-sigma must be 0 or more, not ${n}.`);
      if (n === 0) return logits.slice();
      const best = largest(logits), below = logits.filter((logit) => logit !== CUT).map((logit) => logit - best);
      const mean = sum(below) / below.length;
      const variance = sum(below.map((value) => (value - mean) ** 2)) / below.length;
      const least = -n * Math.sqrt(variance);
      return logits.map((logit) => (logit - best < least ? CUT : logit));
    },

    // Keeps exactly the k largest logits.
    "top-k"(logits, history, k) {
      require(k >= 1, `top-k must keep 1 token or more, not ${k}.`);
      return k >= logits.length ? logits.slice() : keepLargest(logits, logits.slice().sort()[logits.length - k], k);
    },

    // Keeps the tokens whose surprisal is nearest to the entropy, until their probabilities sum to p; 1 cuts nothing.
    "typical-p"(logits, history, p) {
      require(p > 0 && p <= 1, `typical-p must be above 0 and at most 1, not ${p}.`);
      if (p === 1) return logits.slice();
      const best = largest(logits), logSum = Math.log(sum(logits.map((logit) => Math.exp(logit - best))));
      const logProbs = logits.map((logit) => logit - best - logSum), probs = logProbs.map(Math.exp);
      const entropy = sum(probs.map((prob, id) => (prob ? -prob * logProbs[id] : 0)));
      const distances = logProbs.map((logProb) => Math.abs(-logProb - entropy));
      const order = Array.from(logits.keys()).filter((id) => logits[id] !== CUT).sort((a, b) => distances[a] - distances[b] || a - b);
      const kept = new Set(order.slice(0, countUntil(order.map((id) => probs[id]), p)));
      return logits.map((logit, id) => (kept.has(id) ? logit : CUT));
    },

    // Keeps the most likely tokens until their probabilities sum to p; 1 cuts nothing, however the sum is rounded.
    "top-p"(logits, history, p) {
      require(p > 0 && p <= 1, `top-p must be above 0 and at most 1, not ${p}.`);
      if (p === 1) return logits.slice();
      const ordered = logits.slice().sort().reverse();
      const count = countUntil(softmax(ordered), p);
      return keepLargest(logits, ordered[count - 1], count);
    },

    // Keeps the tokens with at least p times the probability of the most likely one.
    "min-p"(logits, history, p) {
      require(p >= 0 && p <= 1, `min-p must lie between 0 and 1, not ${p}.`);
      const best = largest(logits), least = Math.log(p);
      return logits.map((logit) => (logit - best < least ? CUT : logit));
    },
  };

  // What each stage leaves of the distribution. logits: those of the model; history: the ids of the text so far;
  // stages: [{name, value}] in their order, where the value of `bias` is its pairs.
  // -> `raw` probabilities before the stages, their entropy, and after each stage which tokens are kept, their number,
  // and their part of the raw probability; `final` is what a token is drawn from.
  function steps(logits, history, stages) {
    let filtered = Float64Array.from(logits);
    require(filtered.every(Number.isFinite), "The model's logits are not finite numbers: its weights are damaged, or training diverged.");
    const raw = softmax(filtered), entropyBits = entropy(filtered, raw);
    const results = stages.map(({ name, value }) => {
      require(Object.hasOwn(FILTERS, name), `there is no stage ${name}.`);
      filtered = FILTERS[name](filtered, history, value);
      const isKept = new Uint8Array(filtered.length).map((_, id) => (filtered[id] > CUT ? 1 : 0));
      return { name, value, probs: softmax(filtered), isKept, kept: sum(isKept), mass: sum(raw, isKept) };
    });
    return { raw, entropyBits, results, final: results.at(-1)?.probs ?? raw };
  }

  // One id by its probability: the first at which the cumulative sum exceeds `uniform`, in [0, 1), of the whole.
  function draw(final, uniform) {
    const point = uniform * sum(final);
    let reached = 0;
    for (let id = 0; id < final.length; id += 1) {
      reached += final[id];
      if (reached > point) return id;
    }
    return final.findLastIndex((prob) => prob > 0); // the product was rounded up
  }

  // The ids of the largest values, the largest first, the lowest id first among equals.
  function ranked(values, count) {
    const best = [];
    if (count < 1) return best;
    for (let id = 0; id < values.length; id += 1) {
      if (best.length >= count) {
        if (!(values[id] > values[best[best.length - 1]])) continue;
        best.pop();
      }
      let low = 0, high = best.length; // its place, after those that are as large
      while (low < high) {
        const middle = (low + high) >> 1;
        if (values[best[middle]] >= values[id]) low = middle + 1;
        else high = middle;
      }
      best.splice(low, 0, id);
    }
    return best;
  }

  function require(isMet, sentence) {
    if (!isMet) throw new RangeError(sentence);
  }

  // Plain loops: these run over the whole vocabulary several times for each stage.

  function sum(values, isCounted = null) {
    let total = 0;
    for (let i = 0; i < values.length; i += 1) if (!isCounted || isCounted[i]) total += values[i];
    return total;
  }

  function largest(values) {
    let most = CUT;
    for (let i = 0; i < values.length; i += 1) if (values[i] > most) most = values[i];
    return most;
  }

  function softmax(logits) {
    const best = largest(logits), probs = new Float64Array(logits.length);
    for (let i = 0; i < probs.length; i += 1) probs[i] = Math.exp(logits[i] - best);
    const total = sum(probs);
    for (let i = 0; i < probs.length; i += 1) probs[i] /= total;
    return probs;
  }

  // With the largest logit at 0, log(sum of exp) minus the mean logit: 0 * log 0 never occurs.
  function entropy(logits, raw) {
    const best = largest(logits);
    return (sum(raw.map((prob, id) => prob * (best - logits[id]))) - Math.log(largest(raw))) / Math.LN2;
  }

  // How many of the probabilities, in their order, are kept: those before which the sum has not reached p, and the first.
  function countUntil(probs, p) {
    let reached = 0;
    const end = probs.findIndex((prob, i) => {
      reached += prob;
      return i > 0 && reached - prob >= p;
    });
    return end < 0 ? probs.length : end;
  }

  // Keep the `count` largest logits, of which `least` is the smallest; the lowest ids among equals.
  function keepLargest(logits, least, count) {
    let equals = count;
    for (let id = 0; id < logits.length; id += 1) if (logits[id] > least) equals -= 1;
    return logits.map((logit) => (logit > least || (logit === least && equals-- > 0) ? logit : CUT));
  }

  return { steps, draw, ranked, names: Object.keys(FILTERS), filter: (name, ...given) => FILTERS[name](...given) };
})();
