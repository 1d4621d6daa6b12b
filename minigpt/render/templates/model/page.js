// The live page: its state, the model's passes over the texts, and the parts that show them.
//
// Everything on screen follows from the state, a plain object that is also what a link keeps. A part is a class in a file
// of its own, registered in `parts` under the name of its element's data-part: `new Part(root, page)` once, and `show()`
// after every change while its element is open. A part changes the state by `page.change({...})`, and nothing else.
const parts = {};

class LivePage {
  // data: { config, weights, tokenizer, history, ... }, as app/page_run.py makes it
  constructor(section, data) {
    this.section = section;
    this.data = data;
    this.tokenizer = new Tokenizer(data.tokenizer);
    this.model = new GPT.Model(data.config, Weights.unpacked(data.weights));
    this.start = { ...LivePage.START, settings: usualSettings(data.filters) };
    this.state = this.fitting(this.linked());
    this.passes = new Map(); // the newest pass over a text, by what it is for
    this.parts = [...section.querySelectorAll("[data-part]")].filter((root) => parts[root.dataset.part]).map((root) => {
      root.addEventListener("toggle", () => this.showPart(root));
      return { root, part: new parts[root.dataset.part](root, this) };
    });
    addEventListener("hashchange", () => this.goTo(this.linked()));
    addEventListener("popstate", () => clearTimeout(this.keeping));
    addEventListener("pagehide", () => this.keep());
    this.show();
  }

  static START = {
    text: "", // the prompt, as it is typed
    added: [], // ids of the tokens after it, clicked or drawn
    ahead: [], // ids of those that follow on the same branch, after a step back
    branches: [], // other continuations: [the text of the prompt, the ids after it]
    at: null, // the token that is looked at, by its place in the text; null for the next one, which is still open
    settings: {}, // of sampling, by the filters' names, where they are not neutral
    seed: 1,
    without: [], // parts that are switched off: "2.3" for head 3 of layer 2, "2.mlp"
    to: "zero", // what stands in their place: zero, or mean
    removed: [], // tokens that are left out, by their places in the text
    chosen: null, // the token whose change is told; null for the likeliest
    other: null, // the second prompt
    layer: 1,
    head: 1,
    walk: 0, // the stop of the guided walk; 0 without it
    scale: "surprisal", // of the text's colours
    rows: 10, // of the list; 0 for all that are kept
    pace: 5, // tokens per second; 0 for as fast as it can
  };

  // The state with some of its fields replaced. A function of the state may be given instead of fields.
  change(fields) {
    this.set(fields);
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => this.keep(), 300); // browsers refuse more than some addresses a second
    this.show();
  }

  // The same, as a new entry in the browser's history: its Back leads to the state as it was.
  visit(fields) {
    this.keep();
    this.set(fields);
    if (this.address !== location.hash) history.pushState(null, "", this.address);
    this.show();
  }

  // The same, where the address has changed already.
  goTo(fields) {
    clearTimeout(this.keeping);
    this.set(fields);
    this.show();
  }

  set(fields) {
    this.state = this.fitting({ ...this.state, ...(typeof fields === "function" ? fields(this.state) : fields) });
  }

  // The state without places that its text does not have.
  fitting(state) {
    const length = this.encoded(state.text).length + state.added.length;
    const removed = state.removed.filter((place) => place < length);
    return { ...state, at: state.at < length ? state.at : null, removed: removed.length < length ? removed : [] };
  }

  // A setting of sampling by its filter's name; one that changes nothing is not kept.
  setting(name, value) {
    const settings = { ...this.state.settings };
    State.set(settings, this.filter(name), value);
    this.change({ settings });
  }

  filter(name) {
    return this.data.filters.find((filter) => filter.name === name);
  }

  // A token of the list: it is added to the text, or takes the place of the one that is looked at.
  choose(id) {
    const { state, given, ids } = this, { at } = state;
    if (at === null) this.change(Branches.append(state, id));
    else if (ids[at] === id) this.change({ at: at + 1 });
    else if (at >= given.length) this.change(Branches.append({ ...state, ...Branches.move(state, at - given.length) }, id));
    else {
      const cut = Branches.cut(state, given, at, id, this.tokenizer, this.data.tokenizer.prefix?.length ?? 0);
      if (cut) this.visit(cut);
      else this.speak("No text ends there: change the text itself.");
    }
  }

  // --- the address

  linked() {
    return { ...this.start, ...State.read(location.hash, this.start, this.data) };
  }

  get address() {
    return `#${State.written(this.state, this.start, this.data)}`;
  }

  keep() {
    clearTimeout(this.keeping);
    if (this.address !== (location.hash || "#")) history.replaceState(null, "", this.address);
  }

  show() {
    this.section.dataset.ready = "";
    for (const { root } of this.parts) this.showPart(root);
    this.section.dataset.ready = "true";
  }

  showPart(root) {
    if (!root.closest("details:not([open])")) this.parts.find((each) => each.root === root).part.show();
  }

  // --- what the state means

  get given() {
    return this.encoded(this.state.text);
  }

  // How many of the ids before the added ones nobody has typed, because they stand for the beginning of a text.
  get starts() {
    return this.state.text ? this.data.tokenizer.prefix.length : this.given.length;
  }

  // The ids of a prompt; those of the last one are remembered.
  encoded(text) {
    if (this.lastEncoded?.text !== text) this.lastEncoded = { text, ids: this.tokenizer.encodePrompt(text) };
    return this.lastEncoded.ids;
  }

  // The ids of the text: the prompt's, then those that were added.
  get ids() {
    if (this.idsOf !== this.state) [this.idsOf, this.knownIds] = [this.state, [...this.given, ...this.state.added]];
    return this.knownIds;
  }

  // Where the state looks: the unchanged pass, a token's place in its window, and a layer and a head, counted from 0.
  get looking() {
    const { reading, state: { at, layer, head } } = this, last = reading.length - 1;
    return { reading, t: at === null ? last : Math.max(0, Math.min(last, at - reading.start)), layer: layer - 1, head: head - 1 };
  }

  // Looks at a token by its place in the window.
  lookAt(t) {
    const { reading } = this;
    this.change({ at: t === reading.length - 1 ? null : reading.start + t });
  }

  // The whole text: the prompt as it was typed, and the tokens after it.
  get text() {
    return this.state.text + this.tokenizer.decode(this.state.added);
  }

  // The unchanged model's pass over the text.
  get reading() {
    return this.pass("text", this.ids, GPT.NOTHING);
  }

  get isChanged() {
    return this.state.without.length > 0 || this.state.removed.length > 0;
  }

  // The parts that are switched off, as a pass takes them: the same object, as long as they are the same.
  get without() {
    const key = JSON.stringify([this.state.without, this.state.to]);
    if (this.withoutKey !== key) {
      this.withoutKey = key;
      this.withoutParts = { parts: new Set(this.state.without), to: this.state.to };
    }
    return this.withoutParts;
  }

  // A pass over `ids`, which continues the last one for the same purpose where that has read the same.
  pass(purpose, ids, without, model = this.model) {
    const last = this.passes.get(purpose);
    const isAlike = last && last.model === model && last.without === without && last.all.length === ids.length;
    const isSame = isAlike && (last.all === ids || last.all.every((id, i) => id === ids[i]));
    if (!isSame) this.passes.set(purpose, model.read(ids, { without, from: last }));
    return this.passes.get(purpose);
  }

  // The logits after the first `count` tokens of a text, read as they were when the text was no longer than that.
  logitsAfter(count, ids = this.ids, reading = this.reading, purpose = "earlier") {
    const { model } = this, start = model.windowStart(count);
    if (start === reading.start) return reading.logitsUncached(count - 1 - start);
    let end = count; // of the longest text that is read from the same start
    while (end < ids.length && model.windowStart(end + 1) === start) end += 1;
    return this.pass(purpose, ids.slice(0, end), GPT.NOTHING).logitsUncached(count - 1 - start);
  }

  // The stages of sampling that change something, in their order.
  get stages() {
    const { settings } = this.state;
    return this.data.filters.filter(({ name }) => name in settings).map(({ name }) => ({ name, value: settings[name] }));
  }

  // What a token is drawn from: each stage of sampling, over the whole vocabulary, after the tokens of `reading`.
  sampling(reading = this.reading) {
    return Sampling.steps(reading.logits(), reading.all, this.stages);
  }

  // The id that the seed draws next, as `minigpt sample` does: the number of tokens since the prompt counts its numbers.
  drawn() {
    return Sampling.draw(this.sampling().final, Philox.uniform(this.state.seed, this.state.added.length));
  }

  // --- words

  // What is said where a text is longer than the model's context; nothing where it is not. `count`: how many of its
  // tokens are read.
  windowNote(count = this.ids.length) {
    const start = this.model.windowStart(count), here = count === this.ids.length ? "of the text" : "before this one";
    const number = (many) => many.toLocaleString("en");
    return start ? `The model reads at most ${quantity(this.model.config.context, "token")} at once: of the ${number(count)} ${here}, the first ${number(start)} are no longer seen.` : "";
  }

  // A token as it stands in a table.
  label(id) {
    return this.data.tokens[id][0];
  }

  // A token as it stands in a text.
  written(id) {
    return this.data.tokens[id].at(-1);
  }

  // A token as it stands in a text whose breaks are seen.
  shown(id) {
    const bytes = /^<[0-9A-F]{2}( [0-9A-F]{2})+>$/; // whose name is one word
    return (this.written(id) || "∅").replace(bytes, (name) => name.replaceAll(" ", "\u00a0")).replaceAll("\n", "⏎\n").replaceAll("\t", "⇥\t");
  }

  // The bytes of a token, as `20 74 68 65`.
  bytes(id) {
    return [...this.tokenizer.bytes(id)].map((byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(" ");
  }

  // A setting's value in a heading.
  settingText(name, value) {
    const { unit } = this.filter(name);
    return Array.isArray(value) ? quantity(value.length, unit) : `${value}`;
  }

  part(name) {
    return this.parts.find(({ root }) => root.dataset.part === name).part;
  }

  speak(sentence) {
    this.section.querySelector(".spoken").textContent = sentence;
  }
}

function usualSettings(filters) {
  const settings = {};
  for (const filter of filters) State.set(settings, filter, filter.usual);
  return settings;
}

views.model = (section, data) => {
  section.page = new LivePage(section, data);
};
