// What each sampling stage leaves of a step's distribution, from its logits and settings. Knows nothing of the page.
//
// Only the best logits are here, and of all others, for each temperature T, the sum of their weights
// exp((logit - largest) / T). Every stage but typical-p keeps the first so many tokens, by logit. While that number ends
// among the listed ones, or nothing is cut, each share is exact. A cut among the others leaves bounds, so every number
// is an interval [low, high]. Typical-p may cut the largest: if all that it keeps are listed, they are a new whole;
// otherwise a state is unsure, and holds what is known of each listed token.
const Funnel = (() => {
  const STAGES = {
    "temperature": temperature, "top-n-sigma": topNSigma, "top-k": topK, "typical-p": typicalP, "top-p": topP, "min-p": minP,
  };
  const SLACK = 1e-9; // what rounding may do to a count that comes from a division

  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const isExact = ([low, high]) => low === high;
  const exactly = (value) => [value, value];

  // step: `logits` (the `best` largest, and perhaps the chosen token, which `place` others precede), `rest` (how many
  // are not listed), `restLogSums` (one for each of `temperatures`, null for nothing), `restMeans` (of their logits, each
  // less the largest and divided by the temperature, weighted), `sigma` (the standard deviation of all), and where there were penalties or biases, from before them, `raw`: the shares, and `other`.
  // stages: [{name, value}], none of them neutral. used: for each of them {kept, mass, other, gone}, where the step was
  // drawn with these very settings; `gone` are the listed tokens that were cut, unless they are the last.
  function funnel(step, temperatures, stages, used = null) {
    const weigh = (T) => weighed(step, temperatures, T);
    const raw = rawShares(step, weigh(1));
    let state = untouched(weigh(1));
    const results = stages.map((stage, i) => {
      state = (state.isKept ? unsureStage : STAGES[stage.name])(state, stage.value, weigh, stage.name);
      if (used && !isExact(state.mass)) state = known(state, used[i]);
      return { ...stage, ...described(state, raw, used && used[i]) };
    });
    return { raw, results, cutBy: step.logits.map((_, i) => firstCut(results, i)) };
  }

  // The funnel of a step as it was drawn, where a stage needs the whole vocabulary. A share is null where it was cut.
  function asDrawn(step, temperatures) {
    const results = step.drawn.map(({ name, value, kept, mass, other, shares }) => ({
      name, value, isKept: shares.map((share) => share !== null), shares: shares.map((share) => exactly(share ?? 0)),
      kept: exactly(kept), mass: exactly(mass), other: exactly(other),
    }));
    const raw = rawShares(step, weighed(step, temperatures, 1));
    return { raw, results, cutBy: step.logits.map((_, i) => firstCut(results, i)) };
  }

  function firstCut(results, i) {
    const stage = results.find(({ isKept }) => isKept[i] === false);
    return stage ? stage.name : null;
  }

  function rawShares(step, { listed, rest }) {
    if (step.raw) return step.raw;
    const total = sum(listed) + rest;
    return { shares: listed.map((weight) => weight / total), other: rest / total };
  }

  // As the page has it -> as it is computed with: single precision is that of the model's logits, and penalties and
  // biases are in those that they change.
  function prepared(step) {
    if (!step.logits) return step;
    const logits = step.single ? step.logits.map(Math.fround) : step.logits;
    if (!step.changed) return { ...step, logits };
    const raw = { shares: logits.map((logit) => Math.exp(logit - step.logSum)), other: step.otherRawProb };
    const changed = new Map(step.changed);
    return { ...step, raw, logits: logits.map((logit, i) => changed.get(i) ?? logit) };
  }

  // The weights at one temperature. `beyond`: of all that are not among the best, a chosen token behind them included.
  function weighed({ logits, best, place, rest, restLogSums, restMeans, sigma }, temperatures, T) {
    const scaled = logits.map((logit) => (logit - logits[0]) / T);
    const listed = scaled.map(Math.exp);
    const logSum = restLogSums[temperatures.indexOf(T)], restMean = restMeans[temperatures.indexOf(T)] ?? 0;
    const restWeight = logSum === null ? 0 : Math.exp(logSum);
    const hasExtra = logits.length > best, extra = hasExtra ? listed[best] : 0;
    const count = logits.length + rest;
    const beyond = extra + restWeight;
    return { scaled, listed, rest: restWeight, restMean, best, place, hasExtra, extra, beyond, count, sigma: sigma / T };
  }

  // A state: the weights, how many of the first tokens are kept, and the sum of their weights.
  function untouched(weights) {
    return { weights, kept: exactly(weights.count), mass: exactly(head(weights, weights.best) + weights.beyond) };
  }

  // The weight of the first `kept` of the best tokens.
  function head({ listed, best }, kept) {
    return sum(listed.slice(0, Math.min(kept, best)));
  }

  // The weight of the `kept` first tokens of all: the larger ones have at least their part, none has more than the
  // last of the best.
  function massBounds(weights, kept) {
    const { listed, best, beyond, count } = weights;
    if (kept <= best || kept === count) return exactly(head(weights, kept) + (kept > best ? beyond : 0));
    const more = kept - best, top = head(weights, best);
    return [top + (beyond * more) / (count - best), top + Math.min(beyond, more * listed[best - 1])];
  }

  // The state with `kept` tokens; `mass`, where it is given, narrows the bounds.
  function cut({ weights }, kept, mass = [0, Infinity]) {
    const low = Math.max(massBounds(weights, kept[0])[0], mass[0]);
    const high = Math.min(massBounds(weights, kept[1])[1], mass[1]);
    const bounds = isExact(kept) ? massBounds(weights, kept[0]) : [low, high];
    return { weights, kept, mass: isExact(bounds) ? bounds : [Math.min(low, high), high] };
  }

  // The state that is known from when the step was drawn.
  function known({ weights }, { kept, other, gone }) {
    if (gone) {
      const isKept = weights.listed.map((_, i) => !gone.includes(i));
      const left = sum(weights.listed.filter((_, i) => isKept[i]));
      return { weights, isKept, kept: exactly(kept), mass: exactly(left / (1 - other)), other: exactly(other) };
    }
    const listed = head(weights, kept) + (weights.place < kept ? weights.extra : 0);
    return { weights, kept: exactly(kept), mass: exactly(listed / (1 - other)) };
  }

  function temperature(state, T, weigh) {
    if (T === 0) return cut(state, [1, 1]);
    const { index } = state.weights;
    return cut({ weights: index ? only(weigh(T), index) : weigh(T) }, state.kept);
  }

  function topK(state, k) {
    return k >= state.kept[1] ? state : cut(state, state.kept.map((kept) => Math.min(k, kept)), [0, state.mass[1]]);
  }

  // Keeps a token while the share of those before it is below p.
  function topP(state, p) {
    const { weights, kept, mass } = state;
    const { listed, best } = weights;
    const [first, last] = mass.map((total) => crossing(weights, total, p, kept[1])); // the fewest and the most kept
    if (last !== null) return cut(state, [Math.min(first, kept[0]), last]);
    if (kept[1] <= best) return first === null ? state : cut(state, [Math.min(first, kept[0]), kept[1]]);
    const found = isExact(mass) ? beyondTopP(weights, p * mass[0], kept) : [Math.min(first ?? best + 1, kept[0]), kept[1]];
    return cut(state, found, [p * mass[0], Math.min(mass[1], p * mass[1] + listed[Math.min(found[0], best) - 1])]);
  }

  // How many tokens are kept, if the share of those before the next one reaches p among the best; else null. Summed
  // and subtracted as the filter does it, so that where shares meet p to the last bit, both decide alike.
  function crossing({ listed, best }, total, p, count) {
    let before = 0;
    for (let i = 0; i <= best && i < count; i += 1) {
      const share = i < best ? listed[i] / total : 0;
      before += share;
      if (i && before - share >= p) return i;
    }
    return null;
  }

  // How many tokens are kept, where their weight reaches `enough` only among those that are not listed.
  function beyondTopP(weights, enough, kept) {
    const { listed, best, place, hasExtra, extra, beyond, count } = weights;
    const missing = enough - head(weights, best);
    let low = Math.max(best + 1, best + Math.ceil(missing / listed[best - 1] - SLACK));
    let high = Math.min(kept[1], best + Math.floor((missing * (count - best)) / beyond + 1 + SLACK));
    if (hasExtra && (place - best) * listed[best - 1] < missing * (1 - SLACK)) low = Math.max(low, place + 1);
    if (hasExtra && (place - best) * extra >= missing * (1 + SLACK)) high = Math.min(high, place);
    return [Math.min(low, high), high];
  }

  function minP(state, p) {
    return atLeast(state, Math.log(p));
  }

  // Keeps a token at most n standard deviations of what is left below the largest.
  function topNSigma(state, n) {
    const { weights, kept, mass } = state;
    if (kept[1] <= weights.best && isExact(kept)) return atLeast(state, -n * deviation(weights.scaled.slice(0, kept[0])));
    return kept[0] === weights.count ? atLeast(state, -n * weights.sigma) : cut(state, [1, kept[1]], [0, mass[1]]);
  }

  function deviation(values) {
    const mean = sum(values) / values.length;
    return Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / values.length);
  }

  // Keeps a token whose logit, at this temperature, is at least `least`; the largest is 0, and its weight is 1.
  function atLeast(state, least) {
    const { weights, kept, mass } = state;
    const { scaled, best, place, hasExtra, rest, count } = weights;
    const p = Math.exp(least);
    const passes = (i) => scaled[i] >= least;
    const failed = scaled.slice(0, best).findIndex((_, i) => !passes(i));
    if (failed >= 0) return cut(state, kept.map((number) => Math.min(number, failed)), [0, mass[1]]);
    if (kept[1] <= best) return state;
    const extraPasses = hasExtra && passes(best);
    const more = (extraPasses ? 1 : 0) + (p > 1e-300 ? Math.floor(rest / p + SLACK) : Infinity);
    const high = Math.min(kept[1], best + more, hasExtra && !extraPasses ? place : count);
    const low = Math.min(kept[0], high, extraPasses ? place + 1 : best);
    return cut(state, [low, high], [mass[0] - (count - best) * p, mass[1]]);
  }

  // Keeps the tokens whose surprisal is nearest to the entropy, until their shares reach p.
  function typicalP(state, p) {
    const { weights, kept, mass } = state;
    const { scaled, listed, best, hasExtra, extra, rest, restMean, count } = weights;
    const isWhole = kept[0] === count && count > best; // with tokens that are not listed
    if (!isExact(kept) || (kept[0] > best && !isWhole)) return unsure(state, listed.map((_, i) => (i >= kept[1] ? false : null)));
    const left = listed.slice(0, kept[0]).slice(0, best), total = mass[0];
    const beyond = isWhole ? (hasExtra ? extra * scaled[best] : 0) + rest * restMean : 0;
    const mean = (sum(left.map((weight, i) => weight * scaled[i])) + beyond) / total; // the entropy is ln(total) - mean
    const distances = left.map((_, i) => Math.abs(scaled[i] - mean));
    const nearestOther = isWhole ? Math.max(0, mean - scaled[best - 1]) - 1e-7 : Infinity;
    const chosen = [];
    let before = 0;
    for (const i of left.map((_, i) => i).sort((a, b) => distances[a] - distances[b] || a - b)) {
      if ((chosen.length && before >= p) || distances[i] >= nearestOther) break;
      chosen.push(i);
      before += left[i] / total;
    }
    if (isWhole && before < p) return unsure(state, listed.map((_, n) => chosen.includes(n) || null), chosen.length);
    return untouched(only(weights, chosen.sort((a, b) => a - b)));
  }

  // The weights of these listed tokens, as if there were no others; `index` are their numbers among all.
  function only(weights, chosen) {
    const index = weights.index ? chosen.map((i) => weights.index[i]) : chosen;
    const scaled = chosen.map((i) => weights.scaled[i] - weights.scaled[chosen[0]]);
    const count = chosen.length, none = { rest: 0, restMean: 0, hasExtra: false, extra: 0, beyond: 0 };
    return { scaled, listed: scaled.map(Math.exp), best: count, place: count, count, sigma: deviation(scaled), index, ...none };
  }

  // A state of which each listed token is known to be kept, to be cut, or neither (null), and at least `least` are kept.
  function unsure({ weights, kept }, isKept, least = 1) {
    const added = (holds) => sum(weights.listed.filter((_, i) => holds(isKept[i])));
    const mass = [added((is) => is), added((is) => is !== false) + weights.rest];
    return { weights, isKept, kept: [Math.max(1, least), kept[1]], mass };
  }

  function unsureStage(state, value, weigh, name) {
    const { isKept, kept } = state;
    if (name === "temperature" && value) return unsure({ weights: weigh(value), kept }, isKept, kept[0]);
    return unsure(state, isKept.map((is) => (is === false ? false : null)));
  }

  function unsureShares({ weights, isKept, mass }) {
    return weights.listed.map((weight, i) => {
      if (isKept[i] === false) return exactly(0);
      if (isKept[i]) return [weight / mass[1], weight / mass[0]];
      return [0, mass[0] + weight > 0 ? weight / (mass[0] + weight) : 1];
    });
  }

  // Whether each listed token is kept (null where nobody knows), its share of what is kept, that of the others, how
  // many are kept, and how much of the raw probability that is.
  function described(state, raw, used) {
    const { weights, kept, mass } = state;
    const { listed, best, place, rest, index } = weights;
    const at = (i) => (index ? index.indexOf(i) : i < best ? i : place);
    const isKept = state.isKept ?? raw.shares.map((_, i) => at(i) >= 0 && (at(i) < kept[0] ? true : at(i) >= kept[1] ? false : null));
    const shares = state.isKept ? unsureShares(state) : isKept.map((is, i) => {
      const weight = listed[index ? at(i) : i];
      return is === false ? exactly(0) : [is ? weight / mass[1] : 0, weight / mass[0]];
    });
    const rawKept = (certain) => sum(raw.shares.filter((_, i) => isKept[i] || (isKept[i] === null && !certain)));
    const all = state.isKept ? Infinity : weights.count;
    const others = index ? [0, 0] : [kept[0] === all ? raw.other : 0, state.isKept || kept[1] > best ? raw.other : 0];
    const unsureOther = state.other ?? [0, rest === 0 ? 0 : rest / (rest + mass[0])];
    return {
      isKept, shares, kept,
      other: state.isKept ? unsureOther : otherShare(weights, kept, mass, isKept),
      mass: used ? exactly(used.mass) : [rawKept(true) + others[0], rawKept(false) + others[1]],
    };
  }

  function otherShare(weights, kept, mass, isKept) {
    const { best, extra, rest, count } = weights;
    if (kept[1] <= best) return exactly(0);
    if (kept[0] === count) return exactly(rest / mass[0]);
    const share = (total, withExtra) => {
      const listed = head(weights, best) + (withExtra ? extra : 0);
      const other = Math.max(0, Math.min(rest, total - listed));
      return other / (listed + other);
    };
    return [share(mass[0], isKept[best] !== false), share(mass[1], isKept[best] === true)];
  }

  return { funnel, asDrawn, prepared, isExact };
})();
