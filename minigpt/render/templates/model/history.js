// What the models of a training expected after the text, one at a time: a slider, and a button that plays them.
parts.history = (() => {
  const LISTED = 10, TRACKED = 4;
  const PAUSE = 700; // milliseconds

  // D(final || this), in bits.
  function divergence(p, q) {
    const sum = p.reduce((total, share, id) => (share ? total + share * Math.log2(share / q[id]) : total), 0);
    return Math.max(0, sum);
  }

  const entropy = (shares) => -shares.reduce((total, share) => (share ? total + share * Math.log2(share) : total), 0);
  const rank = (shares, id) => 1 + shares.filter((share) => share > shares[id]).length;
  const headings = (names) => element("thead", {}, [element("tr", {}, names.map((text) => element("th", { scope: "col", text })))]);

  return class {
    constructor(root, page) {
      this.root = root;
      this.page = page;
      this.frames = page.data.history;
      this.models = new Map(); // by frame
      this.find = (selector) => root.querySelector(selector);
      this.when = this.find(".when");
      this.number = this.frames.length - 1;
      this.track = new Track(this.find(".track"), page.data.shapes);
      this.find(".play-steps").addEventListener("click", () => (this.timer ? this.stop() : this.start()));
      this.when.addEventListener("input", () => {
        this.stop();
        this.showFrame(this.when.valueAsNumber);
      });
    }

    // A model is unpacked when it is needed first.
    model(number) {
      const { weights } = this.frames[number];
      if (!weights) return this.page.model;
      if (!this.models.has(number)) this.models.set(number, new GPT.Model(this.page.data.config, Weights.unpacked(weights)));
      return this.models.get(number);
    }

    // What the model of a frame expected in place of the token that is looked at, or next.
    shares(number) {
      const { page } = this, ids = page.ids.slice(0, page.state.at || page.ids.length);
      const reading = page.pass(`history ${number}`, ids, GPT.NOTHING, this.model(number));
      return GPT.softmax(reading.logits());
    }

    show() {
      const last = this.frames.length - 1, { state, ids } = this.page;
      this.all = new Map([[last, this.shares(last)]]);
      const chosen = state.at ? [ids[state.at]] : [];
      this.tracked = [...new Set([...chosen, ...Sampling.ranked(this.all.get(last), TRACKED)])].slice(0, Math.max(TRACKED, chosen.length));
      this.showFrame(this.number);
      this.compute();
    }

    // All frames, one by one, so that the page does not wait.
    compute() {
      clearTimeout(this.computing);
      const next = this.frames.findIndex((_, number) => !this.all.has(number));
      this.root.dataset.computed = next < 0;
      if (next < 0) this.showFrame(this.number);
      else {
        this.computing = setTimeout(() => {
          if (!this.root.open) return;
          this.all.set(next, this.shares(next));
          this.compute();
        }, 0);
      }
    }

    showFrame(number) {
      this.number = number;
      if (!this.all.has(number)) this.all.set(number, this.shares(number));
      const { step, bits_per_byte: bits } = this.frames[number], last = this.frames.length - 1, shares = this.all.get(number);
      const name = number === last ? `final, step ${step.toLocaleString("en")}` : `step ${step.toLocaleString("en")}`;
      this.when.value = number;
      this.when.setAttribute("aria-valuetext", name);
      this.find(".step").textContent = name;
      this.find(".numbers").textContent = [
        bits === null ? "" : `validation ${bits.toFixed(3)} bits per byte`,
        `entropy ${entropy(shares).toFixed(2)} bits`, `divergence ${divergence(this.all.get(last), shares).toFixed(3)} bits`,
      ].filter(Boolean).join(" · ");
      this.showList(shares);
      this.showTracked(shares);
    }

    showList(shares) {
      const listed = Sampling.ranked(shares, LISTED), isListed = new Set(listed);
      const other = shares.reduce((sum, share, id) => (isListed.has(id) ? sum : sum + share), 0), rest = shares.length - listed.length;
      this.find(".then").replaceChildren(headings(["rank", "token", "", "raw"]), element("tbody", {}, [
        ...listed.map((id) => this.row(id, shares, this.bar(shares[id], shares[listed[0]]))),
        ...(rest ? [element("tr", { class: "other" }, [
          element("td"), element("th", { scope: "row", colspan: 2, text: `other (${quantity(rest, "token")})` }),
          element("td", { "text": percent(other), "data-share": other }),
        ])] : []),
      ]));
    }

    showTracked(shares) {
      const all = this.frames.map((_, number) => this.all.get(number) ?? null);
      const lines = this.tracked.map((id) => ({ id, name: this.page.label(id), shares: all.map((each) => each && each[id]) }));
      this.track.show(lines, this.frames.map(({ step }) => step), this.number);
      const rows = this.tracked.map((id, n) => this.row(id, shares, this.track.swatch(n)));
      this.find(".tracked").replaceChildren(headings(["rank", "token", "", "probability"]), element("tbody", {}, rows));
    }

    bar(share, most) {
      const bar = element("span", { class: "bar" });
      bar.style.width = `${(100 * share) / most}%`;
      return bar;
    }

    row(id, shares, picture) {
      return element("tr", { "data-id": id }, [
        element("td", { text: rank(shares, id).toLocaleString("en") }),
        element("th", { scope: "row", class: "label" }, [element("bdi", { text: this.page.label(id) })]),
        element("td", { class: "bars" }, [picture]), element("td", { "text": percent(shares[id]), "data-share": shares[id] }),
      ]);
    }

    stop() {
      clearInterval(this.timer);
      this.timer = null;
      this.find(".play-steps").textContent = "play";
    }

    start() {
      const last = this.frames.length - 1;
      this.find(".play-steps").textContent = "pause";
      this.showFrame(this.number === last ? 0 : this.number);
      this.timer = setInterval(() => {
        this.showFrame(Math.min(last, this.number + 1));
        if (this.number === last) this.stop();
      }, PAUSE);
    }
  };
})();
