// The continuations of a prompt that were tried, and the moves among them.
//
// Each move is a function of the state, and returns the fields that change.
// `added` ends where one is; `ahead` is what follows there on the same branch; `branches` are the others, each the text
// of its prompt and the ids after it. A branch that is only the beginning of another one is none.
const Branches = (() => {
  const MOST = 50; // the oldest are dropped

  const begins = (ids, first) => first.length <= ids.length && first.every((id, i) => ids[i] === id);
  const isPart = ([text, ids], [longerText, longerIds]) => text === longerText && begins(longerIds, ids);

  // Where one is, up to the end of the branch.
  function current({ text, added, ahead }) {
    return [text, [...added, ...ahead]];
  }

  // All branches but `now`, the one that becomes the current one.
  function others(state, now) {
    const all = [...state.branches, current(state)];
    const isNeeded = (one, i) => !all.some((other, n) => n !== i && isPart(one, other) && (n > i || !isPart(other, one)));
    const kept = all.filter((one, i) => (one[0] || one[1].length) && !isPart(one, now) && isNeeded(one, i));
    return kept.slice(-MOST);
  }

  // One more token: the next one of this branch, the beginning of another, or a new branch.
  function append(state, id) {
    const { text, added, ahead, branches } = state;
    const here = [...added, id];
    if (ahead[0] === id) return { added: here, ahead: ahead.slice(1), at: null };
    const known = branches.findLast((branch) => isPart([text, here], branch));
    const now = known ?? [text, here];
    return { added: here, ahead: now[1].slice(here.length), branches: others(state, now), at: null };
  }

  // To where `count` tokens have been added.
  function move(state, count) {
    const [, ids] = current(state);
    return { added: ids.slice(0, count), ahead: ids.slice(count), at: null };
  }

  // To the end of another branch.
  function take(state, branch) {
    return { text: branch[0], added: branch[1], ahead: [], at: null, removed: [], branches: others(state, branch) };
  }

  // Another text; a continuation of the old one stays as a branch.
  function retype(state, text) {
    const left = state.added.length + state.ahead.length ? others(state, [text, []]) : state.branches;
    return { text, added: [], ahead: [], at: null, removed: [], branches: left };
  }

  // Another token, `id`, in the prompt, before whose ids `given` only the first `place` are kept: null where no text
  // gives those. A text ends where it is cut, which may give other ids, so that its last tokens may have to be added.
  function cut(state, given, place, id, tokenizer, prefix) {
    for (let kept = place; kept > Math.max(0, place - 16); kept -= 1) {
      const text = tokenizer.decode(given.slice(prefix, kept));
      const ids = tokenizer.encodePrompt(text);
      if (ids.length === kept && begins(given, ids)) {
        const now = [text, [...given.slice(kept, place), id]];
        return { text, added: now[1], ahead: [], at: null, removed: [], branches: others(state, now) };
      }
    }
    return null;
  }

  return { append, move, take, retype, cut };
})();
