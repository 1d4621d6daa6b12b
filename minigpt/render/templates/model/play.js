// How the text goes on: step by step or played, back and forth, and the branches that were left.
parts.play = (() => {
  const MOST = 1000; // tokens that are played at once
  const SLICE = 100; // milliseconds of drawing between two pictures, where the pace is as fast as it can

  // The way of copying that needs no permission.
  function copiedBySelection(text) {
    const field = element("textarea", { "aria-hidden": true, class: "spoken" });
    field.value = text;
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    const isDone = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return isDone;
  }

  return class {
    constructor(root, page) {
      this.root = root;
      this.page = page;
      this.find = (selector) => root.querySelector(selector);
      this.isPlaying = false;
      const clicks = {
        draw: () => page.change((state) => Branches.append(state, page.drawn())),
        play: () => this.toggle(),
        back: () => page.change((state) => Branches.move(state, state.added.length - 1)),
        forward: () => page.change((state) => Branches.move(state, state.added.length + 1)),
        "to-prompt": () => page.change((state) => Branches.move(state, 0)),
        copy: () => this.copy(page.text, "the text is copied"),
        link: () => this.copyLink(),
        anew: () => this.anew(),
      };
      for (const [name, act] of Object.entries(clicks)) this.find(`.${name}`).addEventListener("click", act);
      this.makeSettings();
    }

    makeSettings() {
      const { page } = this, pace = this.find(".pace"), seed = this.find(".seed"), how = this.find(".how");
      pace.max = PACES.length - 1;
      pace.addEventListener("input", () => page.change({ pace: PACES[pace.valueAsNumber] }));
      seed.addEventListener("input", () => {
        if (this.isSeed) page.change({ seed: seed.valueAsNumber });
        else this.tellSeed();
      });
      how.addEventListener("change", () => {
        if (how.value === "greedy") this.sampledAt = page.state.settings.temperature;
        page.setting("temperature", how.value === "greedy" ? 0 : this.sampledAt ?? page.start.settings.temperature ?? 1);
      });
    }

    show() {
      const { page } = this, { state } = page;
      this.find(".play").textContent = this.isPlaying ? "stop" : "play";
      this.find(".back").disabled = this.find(".to-prompt").disabled = !state.added.length;
      this.find(".forward").disabled = !state.ahead.length;
      this.find(".pace").value = PACES.indexOf(state.pace);
      const pace = state.pace ? `${state.pace}` : "as fast as it can";
      this.find(".pace").setAttribute("aria-valuetext", pace);
      this.find(".pacing output").textContent = pace;
      this.showSeed();
      this.find(".how").value = state.settings.temperature === 0 ? "greedy" : "sampled";
      this.showBranches();
      if (!this.isPlaying && state !== this.saidOf) this.find(".said").textContent = "";
    }

    get isSeed() {
      const seed = this.find(".seed");
      return seed.value !== "" && seed.checkValidity();
    }

    // What is no seed stays in the field, until it is corrected or the seed becomes another one.
    showSeed() {
      const seed = this.find(".seed"), { state } = this.page, isOther = state.seed !== this.seedShown;
      if ((isOther || this.isSeed) && seed.valueAsNumber !== state.seed) seed.value = state.seed;
      this.seedShown = state.seed;
      this.tellSeed();
    }

    tellSeed() {
      const note = this.find(".seed-note"), { isSeed } = this, most = Number(this.find(".seed").max).toLocaleString("en");
      this.find(".seed").setAttribute("aria-invalid", !isSeed);
      note.hidden = isSeed;
      note.textContent = isSeed ? "" : `A seed is a whole number from 0 to ${most}; ${this.page.state.seed.toLocaleString("en")} is still used.`;
    }

    // Each with a few letters of what it shares with the text, and from there on.
    showBranches() {
      const { page } = this, { text: prompt, added, ahead } = page.state;
      const written = (text, ids) => [...page.tokenizer.encodePrompt(text), ...ids].map((id) => page.written(id));
      const here = written(prompt, [...added, ...ahead]);
      const items = page.state.branches.map((branch, number) => {
        const tokens = written(...branch), same = tokens.findIndex((token, i) => token !== here[i]);
        const first = Math.max(0, (same < 0 ? tokens.length : same) - 4);
        const text = (first ? "…" : "") + tokens.slice(first, first + 24).join("") + (tokens.length > first + 24 ? "…" : "");
        const label = element("bdi", { text: text.replaceAll("\n", "⏎") });
        const button = element("button", { "type": "button", "data-branch": number }, [label]);
        button.addEventListener("click", () => this.take(branch));
        return element("li", {}, [button]);
      });
      this.find(".others").hidden = !items.length;
      this.find(".branches").replaceChildren(...items);
    }

    take(branch) {
      this.stop();
      this.page.visit((state) => Branches.take(state, branch));
    }

    // The next branch (1) or the last one (-1); the one that is left goes to the other end of the list.
    turn(by) {
      const { branches } = this.page.state;
      if (branches.length) this.take(by > 0 ? branches[0] : branches.at(-1));
    }

    anew() {
      this.stop();
      this.page.visit({ text: "", added: [], ahead: [], branches: [], at: null, removed: [] });
      this.page.section.querySelector(".prompt-text").focus();
    }

    // --- playing

    toggle() {
      if (this.isPlaying) this.stop();
      else this.start();
    }

    start() {
      this.isPlaying = true;
      this.played = 0;
      this.began = performance.now();
      this.find(".said").textContent = "";
      this.tick();
    }

    stop(reason = "stopped") {
      if (!this.isPlaying) return;
      this.isPlaying = false;
      clearTimeout(this.timer);
      this.find(".play").textContent = "play";
      this.say(`${reason} after ${quantity(this.played, "token")}${this.rate()}`);
    }

    rate() {
      const seconds = (performance.now() - this.began) / 1000;
      return this.page.state.pace || !this.played ? "" : ` · ${(this.played / seconds).toFixed(1)} tokens/s`;
    }

    tick() {
      const { page } = this, { pace } = page.state, now = performance.now();
      const end = pace ? now : now + SLICE;
      let last = null;
      do last = this.step();
      while (performance.now() < end && last === null);
      page.change({});
      if (last) this.stop(last);
      else {
        this.find(".said").textContent = pace ? "" : this.rate().replace(" · ", "");
        this.timer = setTimeout(() => this.tick(), pace ? Math.max(0, now + 1000 / pace - performance.now()) : 0);
      }
    }

    // Draws one token; why it was the last one, or null.
    step() {
      const { page } = this, id = page.drawn();
      page.set((state) => Branches.append(state, id));
      this.played += 1;
      if ([...page.tokenizer.stops].includes(id)) return `end of the text: ${page.label(id)},`;
      return this.played < MOST ? null : "stopped";
    }

    // --- copying

    copyLink() {
      const { page } = this, done = "the link is copied";
      const address = `${location.href.split("#")[0]}${page.address}`;
      this.copy(address, State.isWhole(page.state) ? done : `${done}, without what is too long for one`);
    }

    async copy(text, done) {
      try {
        await navigator.clipboard.writeText(text);
        this.say(done);
      } catch {
        this.say(copiedBySelection(text) ? done : "this browser does not let a page copy");
      }
    }

    say(sentence) {
      this.saidOf = this.page.state;
      this.find(".said").textContent = sentence;
      this.page.speak(sentence);
    }
  };
})();
