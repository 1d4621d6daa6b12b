// Whether a prompt ends where the model expected a longer token, as views/tokenization.py finds it.
const Boundary = (() => {
  const FURTHEST = 3; // tokens of the end that may be one
  const DOUBTFUL = 0.2; // a smaller share of the prompt's own tokens is told
  const LONGEST = 24; // letters of a token in a sentence

  // The ids of the longer tokens that begin with these bytes, without those that were added to the vocabulary.
  function longer(page, bytes) {
    const begins = (other) => other.length > bytes.length && bytes.every((byte, i) => byte === other[i]);
    return page.data.tokens.map((_, id) => id).filter((id) => !page.tokenizer.added.has(id) && begins(page.tokenizer.bytes(id)));
  }

  // The last `count` tokens of `ids` against the longer ones: how likely they are among all that begins in the same way.
  function end(page, ids, count) {
    const place = ids.length - count, tokens = ids.slice(place);
    const shares = tokens.map((_, i) => GPT.softmax(page.logitsAfter(place + i)));
    const others = longer(page, tokens.flatMap((id) => [...page.tokenizer.bytes(id)]));
    const own = tokens.reduce((product, id, i) => product * shares[i][id], 1);
    const rest = others.reduce((sum, id) => sum + shares[0][id], 0);
    const best = others.reduce((a, b) => (a === null || shares[0][b] > shares[0][a] ? b : a), null);
    return { tokens, best, share: rest ? own / (own + rest) : 1 };
  }

  function quoted(page, ids) {
    const letters = [...ids.map((id) => page.label(id)).join("")];
    return `“${letters.length > LONGEST ? `${letters.slice(0, LONGEST - 1).join("")}…` : letters.join("")}”`;
  }

  // A sentence about the end of the page's prompt, or none if there is no reason.
  function note(page) {
    const ids = page.given, furthest = Math.min(FURTHEST, ids.length - 1);
    const ends = Array.from({ length: furthest }, (_, i) => end(page, ids, i + 1));
    const found = ends.reduce((a, b) => (a && a.share <= b.share ? a : b), null);
    if (!found || found.share >= DOUBTFUL || found.best === null) return "";
    const isSpace = !page.tokenizer.decode(found.tokens).trim();
    return `The prompt ends in ${quoted(page, found.tokens)}. Of what begins with it, the model expects ${percent(1 - found.share)} to be a longer token, `
      + `most likely ${quoted(page, [found.best])}, and only ${percent(found.share)} to end here, so what follows may make no sense. `
      + (isSpace ? "Leave it out." : "Complete it, or end before it.");
  }

  return { note };
})();
