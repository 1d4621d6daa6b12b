// The guessing game, as `minigpt explore` plays it (explore/game.py): a bet on the next token, against the model.
parts.game = (() => {
  const SHARES = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]; // what can be put on a guess
  const FIRST_SHARE = 3;
  const LISTED = 10; // tokens of the list after a round

  // What a token costs, in bits, whoever has these logits; without the token `except`, whose share goes to all others.
  function bits(logits, id, except = null) {
    return Scores.of(except === null ? logits : logits.map((logit, other) => (other === except ? -Infinity : logit)), id).surprisal;
  }

  // The bet's cost: of the guess, its share; of another token, the model's among all but the guess.
  function betBits(logits, came, guess, share) {
    return came === guess ? -Math.log2(share) : -Math.log2(1 - share) + bits(logits, came, guess);
  }

  return class {
    constructor(root, page) {
      this.root = root;
      this.page = page;
      this.find = (selector) => root.querySelector(selector);
      this.find(".stake").append(...SHARES.map((share) => element("option", { value: share, text: percent(share, 0) })));
      this.find(".from-end").addEventListener("click", () => this.begin(page.ids, page.state.ahead));
      this.find(".from-start").addEventListener("click", () => this.begin(page.ids.slice(0, 1), page.ids.slice(1)));
      this.find(".end").addEventListener("click", () => this.end());
      this.find(".typed").addEventListener("input", () => this.showGuess());
      this.find(".guess").addEventListener("keydown", (event) => this.key(event));
      this.find(".guess").addEventListener("submit", (event) => {
        event.preventDefault();
        this.bet();
      });
      root.addEventListener("toggle", () => !root.open && this.end());
    }

    open() {
      this.root.open = true;
      this.find(".from-end").focus();
    }

    show() {
      this.find(".from-start").disabled = this.page.ids.length < 2;
      const stages = this.page.stages.map(({ name, value }) => `${name} ${this.page.settingText(name, value)}`);
      this.find(".drawn-by").textContent = stages.length
        ? `though what the text does not hold yet is drawn with ${stages.join(", ")}` : "by which what the text does not hold yet is drawn too";
    }

    // `hidden` are the ids that come; behind them, the model draws.
    begin(ids, hidden) {
      Object.assign(this, { ids: [...ids], hidden: [...hidden], drawnBefore: this.page.state.added.length, rounds: [] });
      this.page.part("play").stop();
      this.set(true);
      this.find(".stake").value = SHARES[FIRST_SHARE];
      this.find(".verdict").textContent = "";
      this.find(".score").replaceChildren();
      this.find(".came").replaceChildren();
      this.showRound();
    }

    end() {
      if (!this.isOn) return;
      this.set(false);
      const { rounds } = this, [person, model] = this.means();
      const result = `${quantity(rounds.length, "token")}: you paid ${person.toFixed(2)} bits a token, the model ${model.toFixed(2)}.`;
      this.find(".verdict").textContent = rounds.length ? result : "";
      this.page.speak(this.find(".verdict").textContent);
    }

    set(isOn) {
      this.isOn = isOn;
      this.page.section.classList.toggle("guessing", isOn);
      this.find(".on").hidden = !isOn;
      this.find(".begin").hidden = isOn;
    }

    // Up and down say how much is on the guess.
    key(event) {
      const select = this.find(".stake");
      if (event.target === select) return;
      if (event.key === "Escape") this.end();
      else if (event.key === "ArrowUp") select.selectedIndex = Math.min(select.selectedIndex + 1, SHARES.length - 1);
      else if (event.key === "ArrowDown") select.selectedIndex = Math.max(select.selectedIndex - 1, 0);
      else return;
      event.preventDefault();
    }

    showRound() {
      const { page } = this, shown = this.ids.slice(-400);
      const tokens = shown.map((id) => element("span", { "class": "token", "data-id": id, "text": page.shown(id) }));
      this.find(".so-far").replaceChildren(...tokens, element("span", { class: "token open", text: " ? " }));
      this.find(".typed").value = "";
      this.find(".typed").focus();
      this.showGuess();
    }

    // The first token of what is typed.
    get guess() {
      return this.page.tokenizer.encode(this.find(".typed").value)[0] ?? null;
    }

    showGuess() {
      const { guess, page } = this;
      this.find(".taken").textContent = guess === null ? "" : `the token “${page.label(guess)}”${this.isWhole(guess) ? "" : " alone"}`;
    }

    isWhole(guess) {
      const typed = new TextEncoder().encode(this.find(".typed").value), bytes = this.page.tokenizer.bytes(guess);
      return typed.length === bytes.length && bytes.every((byte, i) => byte === typed[i]);
    }

    bet() {
      const { page, ids, guess } = this, reading = page.pass("game", [...ids], GPT.NOTHING), logits = reading.logits();
      const share = Number(this.find(".stake").value), isDrawn = !this.hidden.length;
      const came = isDrawn ? this.drawn(reading) : this.hidden.shift();
      const model = bits(logits, came), person = guess === null ? model : betBits(logits, came, guess, share);
      const typed = guess === null || this.isWhole(guess) ? "" : this.find(".typed").value;
      this.rounds.push({ came, guess, share, model, person, isDrawn, typed });
      this.ids.push(came);
      this.find(".verdict").textContent = this.verdict(logits);
      this.showScore();
      this.showList(logits, came);
      this.showRound();
      page.speak(this.find(".verdict").textContent);
    }

    drawn(reading) {
      return Sampling.draw(this.page.sampling(reading).final, Philox.uniform(this.page.state.seed, this.drawnBefore + this.rounds.length));
    }

    // What came, and what the guess scored against the model.
    verdict(logits) {
      const { came, guess, share, isDrawn, typed } = this.rounds.at(-1);
      const quoted = (id) => `“${this.page.label(id)}”`, rank = (id) => `rank ${Scores.of(logits, id).rank.toLocaleString("en")}`;
      const first = `${isDrawn ? "drawn:" : "it was"} ${quoted(came)}, ${rank(came)}`;
      if (guess === null) return `${first} · no guess`;
      const taken = typed && `of “${typed}” the token ${quoted(guess)} was taken`;
      if (came === guess) return `${first} · ${taken && `${taken}: `}right, with ${percent(share, 0)} on it`;
      const cost = bits(logits, guess);
      return `${first} · ${taken || `you said ${quoted(guess)}`}: ${rank(guess)}, ${percent(2 ** -cost)}, ${cost.toFixed(2)} bits`;
    }

    // The mean cost in bits for the person, and for the model.
    means() {
      const mean = (who) => this.rounds.reduce((sum, round) => sum + round[who], 0) / this.rounds.length;
      return [mean("person"), mean("model")];
    }

    showScore() {
      const { rounds } = this, last = rounds.at(-1), right = rounds.filter(({ came, guess }) => came === guess).length;
      const isBetter = (own, other) => own < other && own.toFixed(2) !== other.toFixed(2);
      const cost = (own, other) => element("td", {
        "text": own.toFixed(2), "data-bits": own, "class": isBetter(own, other) ? "chosen" : "",
      });
      const line = (name, person, model) => element("tr", {}, [
        element("th", { scope: "row", text: name }), cost(person, model), cost(model, person),
      ]);
      this.find(".score").replaceChildren(
        element("thead", {}, [element("tr", {}, ["bits", "you", "model"].map((text) => element("th", { scope: "col", text })))]),
        element("tbody", {}, [line("last", last.person, last.model), line("a token", ...this.means())]),
        element("caption", { text: `${quantity(rounds.length, "token")}, ${right.toLocaleString("en")} right` }),
      );
    }

    // What the model had expected, with the token that came.
    showList(logits, came) {
      const { page } = this, raw = GPT.softmax(logits), listed = Sampling.ranked(logits, LISTED);
      if (!listed.includes(came)) listed.push(came);
      const others = raw.reduce((sum, share, id) => (listed.includes(id) ? sum : sum + share), 0);
      const row = (id) => element("tr", { "class": id === came ? "chosen" : "", "data-id": id }, [
        element("td", { text: `${id === came ? "▸ " : ""}${Scores.of(logits, id).rank.toLocaleString("en")}` }),
        element("th", { scope: "row", class: "label" }, [element("bdi", { text: page.label(id) })]),
        element("td", { "text": percent(raw[id]), "data-share": raw[id] }),
      ]);
      const rest = element("tr", { class: "other" }, [
        element("td"), element("th", { scope: "row", text: `other (${quantity(raw.length - listed.length, "token")})` }),
        element("td", { "text": percent(others), "data-share": others }),
      ]);
      this.find(".came").replaceChildren(
        element("thead", {}, [element("tr", {}, ["rank", "token", "raw"].map((text) => element("th", { scope: "col", text })))]),
        element("tbody", {}, [...listed.map(row), ...(raw.length > listed.length ? [rest] : [])]),
      );
    }
  };
})();
