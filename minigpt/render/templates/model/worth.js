// What a part of the model, or a token of the text, is worth: the list without it, beside the unchanged one.
parts.worth = (() => {
  const SLICE = 30; // milliseconds of work, after which the browser gets its turn

  function partName(key) {
    const [layer, which] = key.split(".");
    return which === "mlp" ? `layer ${layer} mlp` : `layer ${layer} head ${which}`;
  }

  return class {
    constructor(root, page) {
      this.root = root;
      this.page = page;
      this.find = (selector) => root.querySelector(selector);
      this.makeSwitches();
      this.find(".to").addEventListener("change", (event) => page.change({ to: event.target.value }));
      this.find(".all-on").addEventListener("click", () => page.change({ without: [], removed: [] }));
      this.find(".rank").addEventListener("click", () => this.rank());
      this.find(".stop").addEventListener("click", () => this.stop());
    }

    // A button for every part: a row for each layer, a column for each head, and the MLP.
    makeSwitches() {
      const { layers, heads } = this.page.data.config, columns = [...Array.from({ length: heads }, (_, i) => `${i + 1}`), "mlp"];
      const head = ["layer", ...columns.map((which) => (which === "mlp" ? which : `head ${which}`))];
      const rows = Array.from({ length: layers }, (_, layer) => element("tr", {}, [
        element("th", { scope: "row", text: `${layer + 1}` }),
        ...columns.map((which) => element("td", {}, [this.makeSwitch(`${layer + 1}.${which}`)])),
      ]));
      this.find(".switches table").append(
        element("thead", {}, [element("tr", {}, head.map((text) => element("th", { scope: "col", text })))]), element("tbody", {}, rows),
      );
    }

    makeSwitch(key) {
      const made = element("button", { "type": "button", "data-part-key": key, "aria-label": `switch off ${partName(key)}` });
      made.addEventListener("click", () => this.page.change(({ without }) => ({
        without: without.includes(key) ? without.filter((each) => each !== key) : [...without, key],
      })));
      return made;
    }

    // --- both passes: over the text before the token that is looked at, as far as the model sees it

    get ids() {
      return this.page.ids.slice(0, this.page.state.at || this.page.ids.length);
    }

    // The places of the tokens that are read, in the whole text.
    get places() {
      const { ids } = this, start = this.page.model.windowStart(ids.length);
      return [...ids.keys()].slice(start).filter((place) => !this.page.state.removed.includes(place));
    }

    changed(usual) {
      const { page, ids } = this, left = this.places.map((place) => ids[place]);
      if (left.length === 0) return null;
      if (!page.state.without.length && left.length === usual.length) return usual;
      return page.pass("worth changed", left, page.without);
    }

    show() {
      const { page } = this, { state } = page, usual = page.pass("worth", this.ids, GPT.NOTHING), changed = this.changed(usual);
      this.usual = usual;
      this.one = Pair.distribution(usual.logits());
      this.other = changed && Pair.distribution(changed.logits());
      this.chosen = state.chosen ?? (state.at ? page.ids[state.at] : Sampling.ranked(this.one.shares, 1)[0]);
      this.showSwitches();
      this.showTokens();
      this.showLists();
      this.showParts();
    }

    showSwitches() {
      const { without, to, removed } = this.page.state;
      for (const button of this.root.querySelectorAll("[data-part-key]")) {
        const isOff = without.includes(button.dataset.partKey);
        button.setAttribute("aria-pressed", isOff);
        button.textContent = isOff ? "off" : "on";
      }
      this.find(".to").value = to;
      this.find(".all-on").disabled = without.length + removed.length === 0;
    }

    // The tokens, each a button that leaves it out. The focus stays on the same one.
    showTokens() {
      const { page, ids } = this, start = page.model.windowStart(ids.length), box = this.find(".leave-out");
      const focused = box.contains(document.activeElement) ? document.activeElement.dataset.place : null;
      box.replaceChildren(...ids.map((id, place) => {
        const isOut = page.state.removed.includes(place);
        const button = element("button", {
          "type": "button", "class": "leave", "data-place": place, "data-id": id, "aria-pressed": isOut, "text": page.label(id),
          "aria-label": `leave out token ${place + 1}: ${page.label(id)}`, "title": `token ${place + 1}, which --without calls position ${place}`, ...(place < start ? { disabled: "" } : {}),
        });
        button.addEventListener("click", () => page.change(({ removed }) => ({
          removed: isOut ? removed.filter((each) => each !== place) : [...removed, place].sort((a, b) => a - b),
        })));
        return button;
      }));
      if (focused !== null) box.querySelector(`[data-place="${focused}"]`)?.focus();
    }

    showLists() {
      const { page, one, chosen } = this, names = ["unchanged", "changed"], name = page.label(chosen), verdict = this.find(".verdict");
      const other = this.other ?? one, lists = Pair.compared(one, other, [chosen]), bits = one.bits[chosen] - other.bits[chosen];
      const place = page.state.at ? `in place of token ${page.state.at + 1}` : "next";
      this.find(".asked").textContent = `${place}, raw softmax · chosen: ${name}`;
      verdict.dataset.bits = bits;
      verdict.textContent = this.other ? `${name}: ${percent(one.shares[chosen])} unchanged, ${percent(other.shares[chosen])} changed: ${Pair.signed(bits)} bits` :
        "No token is left to read: keep one.";
      this.showTable(lists, names);
      this.find(".adding").textContent = Pair.sums(lists, names);
      Pair.tell(this.find(".apart"), one, other, names);
    }

    // The focus stays on the row of the same token.
    showTable(lists, names) {
      const table = this.find(".compared"), focused = table.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.id : null;
      table.replaceChildren(...Pair.table(this.page, lists, names, { chosen: this.chosen, choose: (id) => this.page.change({ chosen: id }) }));
      if (focused) table.querySelector(`tr[data-id="${focused}"] button`)?.focus();
    }

    // --- every part, one at a time

    // What the ranking is of; with anything else, it begins anew.
    get subject() {
      return JSON.stringify([this.ids, this.page.state.to]);
    }

    showParts() {
      if (this.ranked?.subject !== this.subject) {
        this.stop();
        this.ranked = { subject: this.subject, bits: new Map() };
      }
      const { one, chosen, ranked } = this, all = Attribution.contributions(this.usual, chosen);
      const rows = all.map(({ key, ...part }) => ({ ...part, key, bits: ranked.bits.has(key) ? one.bits[chosen] - ranked.bits.get(key)[chosen] : null }));
      rows.sort((a, b) => Math.abs(b.bits ?? 0) - Math.abs(a.bits ?? 0) || Math.abs(b.adds) - Math.abs(a.adds));
      const most = { adds: Math.max(...rows.map(({ adds }) => Math.abs(adds))), bits: Math.max(...rows.map(({ bits }) => Math.abs(bits ?? 0))) };
      const sum = all.reduce((total, { adds }) => total + adds, 0), logit = this.usual.logits()[chosen];
      this.find(".worths").replaceChildren(
        element("thead", {}, [element("tr", {}, ["part", "adds", "", "bits", ""].map((text) => element("th", { scope: "col", text })))]),
        element("tbody", {}, rows.map((row) => this.partRow(row, most))),
        element("tfoot", {}, [element("tr", {}, [element("th", { scope: "row", text: "the logit" }), element("td", { "text": Pair.signed(sum), "data-sum": sum })])]),
      );
      this.find(".adds-up").textContent = `all parts add up to ${sum.toFixed(4)}, and the model’s logit is ${logit.toFixed(4)}`;
    }

    partRow({ name, key, adds, bits }, most) {
      const bar = (value, largest) => {
        const made = element("span", { class: value < 0 ? "bar hollow" : "bar" });
        made.style.width = `${largest ? (100 * Math.abs(value)) / largest : 0}%`;
        return element("td", { class: "bars" }, value ? [made] : []);
      };
      const change = bits === null ? [element("td", { text: "–" }), element("td")] :
        [element("td", { "text": Pair.signed(bits), "data-bits": bits }), bar(bits, most.bits)];
      return element("tr", { "data-name": name, ...(this.page.state.without.includes(key) ? { class: "gone" } : {}) }, [
        element("th", { scope: "row", text: name }), element("td", { "text": Pair.signed(adds), "data-adds": adds }), bar(adds, most.adds), ...change,
      ]);
    }

    // Switches off one part after the other, in slices, so that the page can still be used, and stopped.
    async rank() {
      const { usual, ranked, page } = this, keys = [...this.root.querySelectorAll("[data-part-key]")].map(({ dataset }) => dataset.partKey);
      const run = this.running = {};
      this.showRanking(0);
      let began = performance.now();
      for (const [number, key] of keys.entries()) {
        if (ranked.bits.has(key)) continue;
        const pass = page.model.begin(usual.all, { without: { parts: new Set([key]), to: page.state.to }, beside: usual });
        while (pass.layer < page.model.config.layers) {
          pass.readLayer();
          if (performance.now() - began < SLICE) continue;
          this.showRanking(number / keys.length);
          await new Promise((resume) => { setTimeout(resume); });
          if (this.running !== run) return;
          began = performance.now();
        }
        ranked.bits.set(key, Pair.distribution(pass.logits()).bits);
      }
      this.stop();
      this.showParts();
      page.speak(`All ${keys.length} parts are ranked. The first: ${this.find(".worths tbody th").textContent}.`);
    }

    stop() {
      const wasRunning = this.running;
      this.running = null;
      this.showRanking(null);
      if (wasRunning && this.ranked.subject === this.subject) this.showParts();
    }

    showRanking(share) {
      const hadFocus = document.activeElement === this.find(share === null ? ".stop" : ".rank");
      this.find(".ranking").hidden = this.find(".stop").hidden = share === null;
      this.find(".rank").hidden = share !== null;
      this.find(".ranking").value = share ?? 0;
      this.root.dataset.ranked = this.ranked && this.ranked.bits.size > 0 && share === null;
      if (hadFocus) this.find(share === null ? ".rank" : ".stop").focus();
    }
  };
})();
