// The guided walk: the stations of the lecture in turn, each a sentence and the parts of the page that show it.
//
// While it lasts, the other parts are hidden. Which were open before it is remembered, and so they are at its end.
parts.walk = (() => {
  const EXAMPLE = 12; // tokens of the model's own, for a walk without a text

  const STOPS = [
    { title: "Tokens", parts: ["prompt"], opens: [".pieces-of"],
      sentence: "The model reads neither letters nor words: the text is cut into tokens, and each token has a number, its id." },
    { title: "Positions", parts: ["inside"], stations: ["embedding"],
      sentence: "A table holds a vector for each token; a second vector, for the token's position, is added to it, so that the model knows the order of the text." },
    { title: "Queries and keys", parts: ["inside"], stations: ["head"],
      sentence: "From each token's vector the layer computes a query, for what the token looks for, and a key, for what it offers to itself and to the tokens after it." },
    { title: "Attention", parts: ["inside"], stations: ["head"],
      sentence: "The product of a query and a key is a score; the softmax turns the scores into weights, and the head returns the mean of the values, weighted by them." },
    { title: "Self-attention", parts: ["attention"],
      sentence: "Every token attends to itself and to the tokens before it, never to those after it; each head does so with queries and keys of its own." },
    { title: "Layers", parts: ["inside", "lens"], stations: ["stream"],
      sentence: "Each layer adds what its heads and its MLP have computed to the token's vector, and the next layer continues with the sum." },
    { title: "The list", parts: ["inside", "list"], stations: ["logits"],
      sentence: "The last vector, normalised once more, is multiplied by the vector of every token; the softmax turns these products, the logits, into a list of probabilities." },
    { title: "Sampling", parts: ["prompt", "play", "list", "settings"],
      sentence: "The next token is drawn at random according to these probabilities; it is added to the text, and the model predicts again." },
  ];

  return class {
    constructor(root, page) {
      this.root = root;
      this.page = page;
      this.find = (selector) => root.querySelector(selector);
      this.opened = new Map(); // the <details> that the walk has opened or closed, and whether they were open
      this.at = 0;
      this.find(".start-walk").textContent = `Guided walk: from the text to the next token, in ${STOPS.length} steps`;
      this.find(".start-walk").addEventListener("click", () => this.begin());
      this.find(".back").addEventListener("click", () => this.go(-1));
      this.find(".on").addEventListener("click", () => this.go(1));
      this.find(".end").addEventListener("click", () => page.change({ walk: 0 }));
      document.addEventListener("keydown", (event) => this.key(event));
    }

    // Without a text, the walk begins with what the model itself would say.
    begin() {
      const { page } = this, { text, added } = page.state, more = [...added];
      if (text === "" && !added.length) {
        while (more.length < EXAMPLE) more.push(page.model.read([...page.given, ...more]).favourite(page.model.config.layers, page.given.length + more.length - 1).id);
      }
      page.change({ walk: 1, added: more });
    }

    go(step) {
      const { walk } = this.page.state;
      this.page.change({ walk: Math.max(1, Math.min(STOPS.length, walk + step)) });
    }

    key(event) {
      if (!this.page.state.walk || event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "Escape") return this.page.change({ walk: 0 });
      const step = { "ArrowRight": 1, "PageDown": 1, " ": event.shiftKey ? -1 : 1, "ArrowLeft": -1, "PageUp": -1 }[event.key];
      const isUsed = event.defaultPrevented || event.target.closest("textarea, select, input:not(.formulas)") || (event.key === " " && event.target.closest("button, summary, input"));
      if (!step || isUsed) return;
      event.preventDefault();
      this.go(step);
    }

    show() {
      const walk = Math.min(this.page.state.walk, STOPS.length);
      if (walk === this.at) return;
      const wasWalking = this.at > 0;
      this.at = walk;
      this.leave();
      this.find(".stage").hidden = !walk;
      this.find(".start-walk").hidden = walk > 0;
      if (walk) this.enter(STOPS[walk - 1]);
      else if (wasWalking) this.find(".start-walk").focus();
    }

    leave() {
      delete document.documentElement.dataset.walk;
      for (const [details, wasOpen] of this.opened) details.open = wasOpen;
      this.opened.clear();
      for (const each of this.page.section.querySelectorAll(".onstage")) each.classList.remove("onstage");
    }

    enter({ title, sentence, parts: names, stations: numbers = [], opens = [] }) {
      const within = (selector) => [...this.page.section.querySelectorAll(selector)];
      const shown = [...names.flatMap((name) => within(`[data-part="${name}"]`)), ...numbers.flatMap((name) => within(`[data-station="${name}"]`))];
      document.documentElement.dataset.walk = this.at;
      for (const each of shown) each.classList.add("onstage");
      for (const details of [...shown, ...opens.flatMap(within)].filter((each) => each.tagName === "DETAILS")) {
        this.opened.set(details, details.open);
        details.open = true;
      }
      this.find(".progress").textContent = `${this.at} of ${STOPS.length}: ${title}`;
      this.find(".back").setAttribute("aria-disabled", this.at === 1);
      this.find(".on").setAttribute("aria-disabled", this.at === STOPS.length);
      this.find(".sentence").textContent = sentence;
      this.find(".sentence").focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  };
})();
