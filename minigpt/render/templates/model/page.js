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
    this.state = { ...LivePage.START, ...State.read(location.hash) };
    this.passes = new Map(); // the newest pass over a text, by what it is for
    this.parts = [...section.querySelectorAll("[data-part]")].filter((root) => parts[root.dataset.part]).map((root) => {
      root.addEventListener("toggle", () => this.showPart(root));
      return { root, part: new parts[root.dataset.part](root, this) };
    });
    addEventListener("hashchange", () => this.change({ ...LivePage.START, ...State.read(location.hash) }));
    this.show();
  }

  static START = {
    text: "", // the prompt, as it is typed
    added: [], // ids of the tokens after it, clicked or drawn
    at: null, // the token that is looked at, by its place in the text; null for the next one, which is still open
    settings: {}, // of sampling, by their names, where they are not neutral
    seed: 1,
    without: [], // parts that are switched off: "2.3" for head 3 of layer 2, "2.mlp"
    to: "zero", // what stands in their place: zero, or mean
    removed: [], // tokens that are left out, by their places in the text
    other: null, // the second prompt
    layer: 1,
    head: 1,
  };

  // The state with some of its fields replaced. A function of the state may be given instead of fields.
  change(fields) {
    this.state = { ...this.state, ...(typeof fields === "function" ? fields(this.state) : fields) };
    State.keep(this.state);
    this.show();
  }

  show() {
    this.section.dataset.ready = "";
    for (const { root } of this.parts) this.showPart(root);
    this.section.dataset.ready = "true";
  }

  showPart(root) {
    if (root.tagName !== "DETAILS" || root.open) this.parts.find((each) => each.root === root).part.show();
  }

  // --- what the state means

  get given() {
    return this.tokenizer.encodePrompt(this.state.text);
  }

  // The ids of the text: the prompt's, then those that were added.
  get ids() {
    return [...this.given, ...this.state.added];
  }

  // The unchanged model's pass over the text.
  get reading() {
    return this.pass("text", this.ids, GPT.NOTHING);
  }

  get isChanged() {
    return this.state.without.length > 0 || this.state.removed.length > 0;
  }

  // The pass with parts switched off and tokens left out; `reading` itself if nothing is.
  get changed() {
    if (!this.isChanged) return this.reading;
    const left = this.ids.filter((_, place) => !this.state.removed.includes(place));
    return this.pass("changed", left, this.without);
  }

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
    const isSame = last && last.model === model && last.without === without && last.all.length === ids.length && last.all.every((id, i) => id === ids[i]);
    if (!isSame) this.passes.set(purpose, model.read(ids, { without, from: last }));
    return this.passes.get(purpose);
  }

  // What a token is drawn from: each stage of sampling, over the whole vocabulary, after the tokens of `reading`.
  sampling(reading = this.reading) {
    const stages = Object.entries(this.state.settings).map(([name, value]) => ({ name, value }));
    return Sampling.steps(reading.logits(), reading.all, stages);
  }

  // --- words

  // A token as it stands in a table.
  label(id) {
    return this.data.tokens[id][0];
  }

  // A token as it stands in a text.
  written(id) {
    return this.data.tokens[id].at(-1);
  }

  speak(sentence) {
    this.section.querySelector(".spoken").textContent = sentence;
  }
}

// The state in the fragment of the address, without what is as at the start.
const State = {
  read(hash) {
    try {
      const fields = JSON.parse(decodeURIComponent(hash.slice(1)) || "{}");
      return Object.fromEntries(Object.entries(fields).filter(([name]) => name in LivePage.START));
    } catch {
      return {};
    }
  },
  keep(state) {
    const changed = Object.entries(state).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(LivePage.START[name]));
    history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(Object.fromEntries(changed)))}`);
  },
};

views.model = (section, data) => {
  section.page = new LivePage(section, data);
};
