// Two prompts side by side: their tokens, each with its surprisal, and what comes next in both.
parts.beside = (() => {
  const EXAMPLE = { text: "Server, can I have the check?", other: "Looks like I just crashed the server." };
  const SLICE = 12; // milliseconds
  const NAMES = ["one", "other"];

  return class {
    constructor(root, page) {
      this.root = root;
      this.page = page;
      this.find = (selector) => root.querySelector(selector);
      this.sides = NAMES.map((name) => ({ name, scores: new Scores() }));
      this.find(".one").addEventListener("input", ({ target }) => page.change((state) => Branches.retype(state, target.value)));
      this.find(".other-text").addEventListener("input", ({ target }) => page.change({ other: target.value || null }));
      this.find(".swap").addEventListener("click", () => page.visit((state) => ({ ...Branches.retype(state, state.other ?? ""), other: page.text || null })));
      this.find(".example").addEventListener("click", () => page.visit((state) => ({ ...Branches.retype(state, EXAMPLE.text), other: EXAMPLE.other })));
    }

    show() {
      const { page, sides } = this, { state } = page, hasOther = state.other !== null;
      this.put(".one", state.text);
      this.put(".other-text", state.other ?? "");
      sides[0].ids = page.ids;
      sides[1].ids = hasOther ? page.tokenizer.encodePrompt(state.other) : [];
      this.find(".result").hidden = !hasOther;
      this.find(".swap").disabled = !hasOther;
      for (const side of sides) side.reading = side.ids.length ? page.pass(`beside ${side.name}`, side.ids, GPT.NOTHING) : null;
      if (hasOther) this.compare();
      this.score();
    }

    put(selector, text) {
      if (this.find(selector).value !== text) this.find(selector).value = text;
    }

    compare() {
      const [one, other] = this.sides.map(({ reading }) => Pair.distribution(reading.logits())), lists = Pair.compared(one, other);
      this.find(".compared").replaceChildren(...Pair.table(this.page, lists, NAMES));
      this.find(".adding").textContent = `raw softmax · ${Pair.sums(lists, NAMES)}`;
      Pair.tell(this.find(".apart"), one, other, NAMES);
    }

    // The surprisal of each token, in slices, so that the page does not wait.
    score() {
      clearTimeout(this.scoring);
      const done = this.sides.map((side) => {
        const from = { ids: side.ids, logitsAfter: (count) => this.page.logitsAfter(count, side.ids, side.reading, `beside ${side.name} earlier`) };
        return side.ids.length === 0 || side.scores.add(from, SLICE);
      });
      for (const side of this.sides) this.showTokens(side);
      this.root.dataset.scored = done.every(Boolean);
      if (!done.every(Boolean)) this.scoring = setTimeout(() => this.score());
    }

    showTokens({ name, ids, scores }) {
      const { page } = this, { limits } = page.data.scales.find(({ key }) => key === "surprisal");
      const known = ids.map((id, place) => scores.known[place]?.surprisal);
      this.find(`.${name}-tokens`).replaceChildren(...ids.map((id, place) => {
        const bits = known[place], heat = bits === undefined ? "unknown" : limits.filter((limit) => bits >= limit).length;
        const told = bits === undefined ? "not predicted" : `${bits.toFixed(2)} bits`;
        return element("span", {
          "class": "token", "data-id": id, "data-heat": heat, "text": page.shown(id), "title": `${page.label(id)} #${id}: ${told}`, ...(bits === undefined ? {} : { "data-bits": bits }),
        });
      }));
      const total = known.reduce((sum, bits) => sum + (bits ?? 0), 0), node = this.find(`.${name}-total`);
      node.textContent = ids.length ? `${quantity(ids.length, "token")}, surprisal ${total.toFixed(1)} bits in all` : "";
      node.dataset.bits = total;
    }
  };
})();
