// The ranked list of the next token, or of the one that is looked at: what it was drawn from.
//
// Raw, and after each stage of sampling, over the whole vocabulary; what is not listed is summed.
parts.list = (() => {
  const MOST = 2000; // rows

  function headings(results, page) {
    const bars = results.length ? "bar: drawn from\nhollow: raw, cut" : "bar: raw";
    const stages = results.map(({ name, value }) => element("th", {
      "scope": "col", "title": name, "data-stage": name, "text": `${page.filter(name).heading}\n${page.settingText(name, value)}`,
    }));
    const [rank, token, raw] = ["rank", "token", "raw"].map((text) => element("th", { scope: "col", text }));
    return element("tr", {}, [rank, token, element("th", { scope: "col", class: "bars", text: bars }), raw, ...stages]);
  }

  function shareCell(share) {
    return element("td", { "text": percent(share), "title": share, "data-share": share });
  }

  // The logits, those of tokens that the stages have cut behind all others.
  function after(logits, last) {
    return last ? logits.map((logit, id) => (last.isKept[id] ? logit : -Infinity)) : logits;
  }

  // The rank of each of these tokens: how many of all have a larger logit, and 1.
  function ranks(logits, ids) {
    const sorted = Float32Array.from(logits).sort();
    const notAbove = (logit) => {
      let low = 0, high = sorted.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (sorted[middle] <= logit) low = middle + 1;
        else high = middle;
      }
      return low;
    };
    return new Map(ids.map((id) => [id, 1 + sorted.length - notAbove(logits[id])]));
  }

  // Added up from the rows, so that the total is a result and not a promise.
  function sums(name, shares, listed, other) {
    const shown = listed.reduce((sum, id) => sum + shares[id], 0);
    return `${name}: shown ${percent(shown)} + other ${percent(other)} = ${Number((100 * (shown + other)).toPrecision(8))} %`;
  }

  return class {
    constructor(root, page) {
      this.root = root;
      this.page = page;
      this.find = (selector) => root.querySelector(selector);
      this.table = this.find(".next");
      this.table.addEventListener("click", (event) => this.choose(event.target.closest("tr[data-id]")));
      this.table.addEventListener("keydown", (event) => this.key(event));
      this.table.addEventListener("keyup", (event) => event.key === " " && event.preventDefault()); // it draws, and is no click
      root.addEventListener("keydown", (event) => Keys.press(event, page));
      this.makeRows();
    }

    makeRows() {
      const { page } = this, rows = this.find(".rows");
      rows.append(...ROWS.map((count) => element("option", { value: count, text: count || "all kept" })));
      rows.addEventListener("change", () => page.change({ rows: Number(rows.value) }));
    }

    choose(row) {
      if (!row) return;
      const hadFocus = this.table.contains(document.activeElement);
      this.page.choose(Number(row.dataset.id));
      if (hadFocus) this.table.querySelector("button")?.focus();
    }

    // Up and down move from row to row; enter is a click.
    key(event) {
      const buttons = [...this.table.querySelectorAll("button")], here = buttons.indexOf(event.target);
      const last = buttons.length - 1;
      const target = {
        ArrowDown: Math.min(here + 1, last), ArrowUp: Math.max(here - 1, 0), PageDown: Math.min(here + 10, last),
        PageUp: Math.max(here - 10, 0), Home: 0, End: last,
      }[event.key];
      if (here < 0 || target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.reach(buttons[target]);
      buttons[target].focus();
    }

    // One of the rows is in the order of the tab key.
    reach(button) {
      for (const other of this.table.querySelectorAll("button")) other.tabIndex = other === button ? 0 : -1;
    }

    show() {
      const { page } = this, { state, ids } = page;
      this.find(".rows").value = state.rows;
      this.find(".which").textContent = this.heading();
      this.find(".known").hidden = state.at === 0;
      const note = page.windowNote(state.at ?? ids.length);
      this.find(".window-note").textContent = note;
      this.find(".window-note").hidden = !note;
      if (state.at === 0) {
        this.find(".numbers").textContent = "No context: nothing stands before it, so nothing predicts it.";
        return;
      }
      const count = state.at ?? ids.length, logits = page.logitsAfter(count);
      const chosen = state.at === null ? null : ids[state.at];
      const step = { logits, chosen, ...Sampling.steps(logits, ids.slice(0, count), page.stages) };
      this.find(".numbers").textContent = this.numbers(step);
      this.showFunnel(step);
      this.tell(step);
    }

    // Tells what is shown, while the text or the list has the focus.
    tell({ raw }) {
      if (!document.activeElement.closest?.(".tokens, .next")) return;
      const best = Sampling.ranked(raw, 3), others = raw.reduce((sum, share, id) => (best.includes(id) ? sum : sum + share), 0);
      const likely = best.map((id) => `${this.page.label(id)} ${percent(raw[id], 1)}`);
      const list = `Most likely: ${likely.join(", ")}, all others ${percent(others, 1)}.`;
      this.page.speak(`${this.heading()}. ${this.find(".numbers").textContent}. ${list}`);
    }

    heading() {
      const { page } = this, { at, ahead } = page.state;
      if (at === null && ahead.length) return `What comes next? Here it goes on with ${page.label(ahead[0])}`;
      if (at === null) return "What comes next?";
      return `${page.label(page.ids[at])}  (token ${at + 1}, ${at < page.starts ? "the beginning of the text" : at < page.given.length ? "in the prompt" : "added"})`;
    }

    numbers({ logits, chosen, entropyBits }) {
      const parts = [`entropy ${entropyBits.toFixed(2)} bits`];
      if (chosen !== null) {
        const { surprisal, rank } = Scores.of(logits, chosen);
        parts.unshift(`surprisal ${surprisal.toFixed(2)} bits`, `rank ${rank.toLocaleString("en")}`);
      }
      return parts.join(" · ");
    }

    showFunnel({ logits, chosen, raw, results }) {
      const { rows } = this.page.state, last = results.at(-1), final = last?.probs ?? raw;
      const count = Math.min(rows || (last?.kept ?? raw.length), MOST);
      const listed = Sampling.ranked(rows ? logits : after(logits, last), count);
      if (chosen !== null && !listed.includes(chosen)) listed.push(chosen);
      const isListed = new Set(listed);
      const others = (shares) => shares.reduce((sum, share, id) => (isListed.has(id) ? sum : sum + share), 0);
      const most = Math.max(...listed.map((id) => Math.max(raw[id], final[id])));
      const context = { logits, chosen, raw, results, final, most, ranks: ranks(logits, listed) };
      const focused = [...this.table.querySelectorAll("button")].indexOf(document.activeElement);
      const body = listed.map((id) => this.row(id, context));
      const rest = raw.length - listed.length;
      const otherCells = results.map(({ probs }) => shareCell(others(probs)));
      const otherRow = this.line("other", `other (${quantity(rest, "token")})`, shareCell(others(raw)), otherCells);
      this.table.replaceChildren(
        element("thead", {}, [headings(results, this.page)]),
        element("tbody", {}, [...body, ...(rest ? [otherRow] : [])]),
        element("tfoot", {}, results.length ? this.leftRows(raw, results) : []),
      );
      this.reach(this.table.querySelector("button"));
      if (focused >= 0) this.table.querySelector("button").focus();
      const drawn = last ? ` · ${sums("drawn from", final, listed, others(final))}` : "";
      this.find(".sums").textContent = sums("raw softmax", raw, listed, others(raw)) + drawn;
    }

    row(id, { logits, chosen, raw, results, final, most, ranks }) {
      const cutAt = results.findIndex(({ isKept }) => !isKept[id]), isCut = cutAt >= 0, isChosen = id === chosen;
      const cells = results.map(({ probs }, n) => {
        if (!isCut || n < cutAt) return shareCell(probs[id]);
        return element("td", { class: "cut", text: n === cutAt ? "cut" : "·" });
      });
      const bar = element("span", { class: isCut ? "bar hollow" : "bar" });
      bar.style.width = `${(100 * (isCut ? raw[id] : final[id])) / most}%`;
      const take = element("button", { type: "button", class: "take", tabindex: -1 }, [element("bdi", { text: this.page.label(id) })]);
      const title = `id ${id} · bytes ${this.page.bytes(id)} · logit ${logits[id].toFixed(3)}`;
      const look = `${isChosen ? "chosen" : ""}${isCut ? " gone" : ""}`;
      return element("tr", { "class": look, "data-id": id, "data-logit": logits[id], title }, [
        element("td", { text: `${isChosen ? "▸ " : ""}${ranks.get(id).toLocaleString("en")}` }),
        element("th", { scope: "row", class: "label" }, [take]),
        element("td", { class: "bars" }, [bar]), shareCell(raw[id]), ...cells,
      ]);
    }

    line(kind, name, first, cells) {
      return element("tr", { class: kind }, [element("td"), element("th", { scope: "row", colspan: 2, text: name }), first, ...cells]);
    }

    leftRows(raw, results) {
      const all = raw.reduce((sum, share) => sum + share, 0);
      const count = (number) => element("td", { "text": number.toLocaleString("en"), "data-kept": number });
      return [
        this.line("left", "tokens left", count(raw.length), results.map(({ kept }) => count(kept))),
        this.line("mass", "raw mass left", shareCell(all), results.map(({ mass }) => shareCell(mass))),
      ];
    }
  };
})();
