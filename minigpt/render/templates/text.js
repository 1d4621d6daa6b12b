// A text, token by token: coloured by how surprising each was. Behind each is its distribution, with the sliders that
// compute it again.
views.text = (section, data) => new TextView(section, data);

const ROWS = [10, 25, Infinity];

class TextView {
  constructor(section, data) {
    this.section = section;
    this.data = data;
    this.steps = data.steps.map((step) => Funnel.prepared(step));
    this.find = (selector) => section.querySelector(selector);
    this.scale = data.scales[0];
    this.rows = ROWS[0];
    this.settings = Object.fromEntries(data.sliders.map(({ name, used }) => [name, used]));
    this.makeText();
    this.makeTools();
    this.makeSliders();
    this.colour();
    this.select(this.firstSelected());
  }

  // An open question, or the first token that was drawn, or the first that has a distribution.
  firstSelected() {
    const { steps, data: { given } } = this;
    const open = steps.findIndex((step) => step.token === null);
    if (open >= 0) return open;
    return Math.max(0, steps.findIndex((step, i) => step.logits && i >= given));
  }

  label(number) {
    return this.data.tokens[number][1];
  }

  running(number) {
    const [, label, text = label] = this.data.tokens[number];
    return (text || "∅").replaceAll("\n", "⏎\n").replaceAll("\t", "⇥\t");
  }

  makeText() {
    const text = this.find(".text");
    if (this.data.before) text.append(element("span", { class: "before", text: this.data.before }));
    this.tokens = this.steps.map((step, i) => element("span", {
      "class": step.token === null ? "token open" : i < this.data.given ? "token given" : "token",
      "role": "option", "tabindex": -1, "aria-selected": false, "data-index": i,
      "text": step.token === null ? " ? " : this.running(step.token),
    }));
    text.append(...this.tokens);
    const index = (event) => event.target.closest?.(".token")?.dataset.index;
    text.addEventListener("pointerover", (event) => index(event) && this.show(Number(index(event))));
    text.addEventListener("pointerleave", () => this.show(this.selected));
    text.addEventListener("click", (event) => index(event) && this.focus(Number(index(event))));
    text.addEventListener("focusin", (event) => index(event) && this.select(Number(index(event))));
    text.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const last = this.tokens.length - 1;
    const target = {
      ArrowRight: Math.min(this.selected + 1, last), ArrowLeft: Math.max(this.selected - 1, 0), Home: 0, End: last,
      ArrowDown: this.onNextLine(1), ArrowUp: this.onNextLine(-1),
    }[event.key];
    if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.focus(target);
  }

  // The token above or below: on the next line, the nearest one.
  onNextLine(direction) {
    const place = (i) => this.tokens[i].getClientRects()[0];
    const here = place(this.selected);
    let best = this.selected, line = null;
    for (let i = this.selected + direction; i >= 0 && i < this.tokens.length; i += direction) {
      const there = place(i);
      if (Math.abs(there.top - here.top) < here.height / 2) continue;
      line ??= there.top;
      if (Math.abs(there.top - line) > here.height / 2) break;
      const distance = (n) => Math.abs(place(n).left - here.left);
      if (best === this.selected || distance(i) < distance(best)) best = i;
    }
    return best;
  }

  makeTools() {
    const select = this.find(".scale");
    select.append(...this.data.scales.map(({ key, name }) => element("option", { value: key, text: name })));
    select.addEventListener("change", () => {
      this.scale = this.data.scales[select.selectedIndex];
      this.colour();
    });
  }

  colour() {
    const { key, limits, labels } = this.scale;
    this.find(".tools").hidden = this.steps.every((step) => step[key] == null);
    this.tokens.forEach((token, i) => {
      const number = this.steps[i][key];
      token.dataset.heat = number == null ? "unknown" : limits.filter((limit) => number >= limit).length;
    });
    this.find(".legend").replaceChildren(...labels.map((text, i) => element("li", { text, "data-heat": i })));
  }

  makeSliders() {
    for (const input of this.section.querySelectorAll(".sliders input")) {
      input.addEventListener("input", () => {
        this.settings[input.dataset.name] = this.slider(input).values[input.valueAsNumber];
        this.settled();
      });
    }
    const set = (choose) => () => {
      for (const slider of this.data.sliders) this.settings[slider.name] = choose(slider);
      this.settled();
    };
    this.find(".as-used")?.addEventListener("click", set(({ used }) => used));
    this.find(".all-off")?.addEventListener("click", set(({ neutral }) => neutral));
    this.find(".sliders").addEventListener("submit", (event) => event.preventDefault());
    const rows = this.find(".rows");
    rows.append(...ROWS.map((count) => element("option", { text: count === Infinity ? "all listed" : count })));
    rows.addEventListener("change", () => {
      this.rows = ROWS[rows.selectedIndex];
      this.show(this.shown);
    });
    this.placeSliders();
  }

  slider(input) {
    return this.data.sliders.find(({ name }) => name === input.dataset.name);
  }

  settled() {
    this.placeSliders();
    this.show(this.shown);
  }

  placeSliders() {
    for (const input of this.section.querySelectorAll(".sliders input")) {
      const { name, values, neutral } = this.slider(input);
      const value = this.settings[name];
      const text = value === neutral ? `${name === "temperature" ? value : "off"}` : `${value}`;
      input.value = values.indexOf(value);
      input.setAttribute("aria-valuetext", text);
      input.nextElementSibling.textContent = text;
    }
  }

  focus(i) {
    this.tokens[i].focus();
  }

  select(i) {
    const old = this.tokens[this.selected];
    old?.setAttribute("aria-selected", false);
    old?.setAttribute("tabindex", -1);
    this.selected = i;
    if (!this.tokens[i]) return;
    this.tokens[i].setAttribute("aria-selected", true);
    this.tokens[i].setAttribute("tabindex", 0);
    this.show(i);
    this.find(".spoken").textContent = this.spoken(this.steps[i]);
  }

  computed(step) {
    if (step.drawn) return Funnel.asDrawn(step, this.data.temperatures);
    const active = this.data.sliders.filter(({ name, neutral }) => this.settings[name] !== neutral);
    const stages = active.map(({ name }) => ({ name, value: this.settings[name] }));
    const asUsed = this.data.sliders.every(({ name, used }) => this.settings[name] === used);
    return Funnel.funnel(step, this.data.temperatures, stages, asUsed ? step.used ?? null : null);
  }

  show(i) {
    const step = this.steps[i];
    this.shown = i;
    this.tokens.forEach((token, n) => token.classList.toggle("shown", n === i));
    this.find(".which").textContent = this.heading(step);
    this.find(".numbers").textContent = this.numbers(step);
    this.find(".known").hidden = !step.logits;
    if (step.logits) this.showFunnel(step, this.computed(step));
  }

  heading(step) {
    if (step.token === null) return "What comes next?";
    const drawn = this.data.drawn && step.position >= this.data.given ? "drawn" : "in the text";
    return `${this.label(step.token)}  (token ${step.position + 1}, ${this.data.drawn ? drawn : "in the text"})`;
  }

  numbers(step) {
    if (!step.logits) return "No context: nothing stands before it, so nothing predicts it.";
    const parts = [`entropy ${step.entropy.toFixed(2)} bits`];
    if (step.token !== null) parts.unshift(`surprisal ${step.surprisal.toFixed(2)} bits`, `rank ${step.rank.toLocaleString("en")}`);
    return parts.join(" · ");
  }

  spoken(step) {
    if (!step.logits) return `${this.heading(step)}. ${this.numbers(step)}`;
    const { raw } = this.computed(step);
    const likely = step.candidates.slice(0, 3).map((token, n) => `${this.label(token)} ${percent(raw.shares[n], 1)}`);
    const others = raw.shares.slice(3).reduce((total, share) => total + share, raw.other);
    return `${this.heading(step)}. ${this.numbers(step)}. Most likely: ${likely.join(", ")}, all others ${percent(others, 1)}.`;
  }

  showFunnel(step, { raw, results, cutBy }) {
    const listed = step.candidates.map((_, i) => i);
    const visible = listed.filter((i) => i < this.rows || i === step.chosen);
    const hidden = listed.filter((i) => !visible.includes(i));
    const last = results.at(-1);
    const shareOf = (i) => (last ? last.shares[i] : [raw.shares[i], raw.shares[i]]);
    const most = Math.max(...listed.map((i) => raw.shares[i]), ...listed.map((i) => shareOf(i)[1]));
    const body = visible.map((i) => this.row(step, i, raw, results, cutBy[i], shareOf(i)[1], most));
    const others = this.otherRow(step, hidden, raw, results);
    this.find(".funnel").replaceChildren(
      element("thead", {}, [this.headings(results)]),
      element("tbody", {}, [...body, ...(step.rest + hidden.length ? [others] : [])]),
      element("tfoot", {}, results.length ? this.leftRows(step, results) : []),
    );
    this.find(".sums").textContent = this.sums(step, raw, results, visible, hidden);
    this.showBounds(step, results);
  }

  headings(results) {
    const bars = results.length ? "bar: drawn from\nhollow: raw, cut" : "bar: raw";
    const names = ["rank", "token", bars, "raw", ...results.map(({ name, value }) => `${name}\n${value}`)];
    return element("tr", {}, names.map((text) => element("th", { scope: "col", text })));
  }

  row(step, i, raw, results, cutBy, share, most) {
    const cells = results.map(({ name, shares, isKept }, n) => {
      const gone = results.slice(0, n).some((earlier) => earlier.isKept[i] === false);
      if (gone) return element("td", { class: "cut", text: "·" });
      return isKept[i] === false ? element("td", { class: "cut", text: "cut" }) : this.shareCell(shares[i]);
    });
    const bar = element("span", { class: cutBy ? "bar hollow" : "bar" });
    bar.style.width = `${(100 * (cutBy ? raw.shares[i] : share)) / most}%`;
    const chosen = i === step.chosen;
    return element("tr", { "class": [chosen ? "chosen" : "", cutBy ? "gone" : ""].join(" "), "data-row": i }, [
      element("td", { text: `${chosen ? "▸ " : ""}${this.rank(step, i).toLocaleString("en")}` }),
      element("th", { scope: "row", class: "label" }, [element("bdi", { text: this.label(step.candidates[i]) })]),
      element("td", { class: "bars" }, [bar]),
      this.shareCell([raw.shares[i], raw.shares[i]]),
      ...cells,
    ]);
  }

  // Equal logits have equal ranks. After penalties and biases it is the rank among the changed logits.
  rank(step, i) {
    if (i < step.best) return 1 + step.logits.indexOf(step.logits[i]);
    return step.raw ? step.place + 1 : step.rank;
  }

  shareCell(share) {
    return element("td", { "text": percents(share), "title": [...new Set(share)].join(" to "), "data-share": share.join(" ") });
  }

  otherRow(step, hidden, raw, results) {
    const added = (shares, other, end) => hidden.reduce((total, i) => total + shares[i][end], other[end]);
    const rawShare = hidden.reduce((total, i) => total + raw.shares[i], raw.other);
    return element("tr", { class: "other" }, [
      element("td"),
      element("th", { scope: "row", colspan: 2, text: `other (${quantity(step.rest + hidden.length, "token")})` }),
      this.shareCell([rawShare, rawShare]),
      ...results.map(({ shares, other }) => this.shareCell([added(shares, other, 0), Math.min(1, added(shares, other, 1))])),
    ]);
  }

  leftRows(step, results) {
    const count = ([low, high]) => (low === high ? low.toLocaleString("en") : `${low.toLocaleString("en")} – ${high.toLocaleString("en")}`);
    const all = step.logits.length + step.rest;
    const line = (name, first, cells) => element("tr", {}, [
      element("td"), element("th", { scope: "row", colspan: 2, text: name }), element("td", { text: first }), ...cells,
    ]);
    return [
      line("tokens left", all.toLocaleString("en"), results.map(({ kept }) => element("td", { "text": count(kept), "data-kept": kept.join(" ") }))),
      line("raw mass left", percent(1), results.map(({ mass }) => this.shareCell(mass))),
    ];
  }

  // Both totals are added up from the rows, so that they are results and not promises.
  sums(step, raw, results, visible, hidden) {
    const total = (name, shares, other) => {
      const shown = visible.reduce((sum, i) => sum + shares(i), 0);
      const rest = hidden.reduce((sum, i) => sum + shares(i), other);
      return `${name}: shown ${percent(shown)} + other ${percent(rest)} = ${Number((100 * (shown + rest)).toPrecision(8))} %`;
    };
    const parts = [total("raw softmax", (i) => raw.shares[i], raw.other)];
    const last = results.at(-1);
    if (last && Funnel.isExact(last.other)) parts.push(total("drawn from", (i) => last.shares[i][0], last.other[0]));
    if (step.raw) parts.push(`all columns after raw begin from ${this.data.changes.join(" and ")}`);
    if (step.drawn) parts.push(`${this.data.fixed.join(" and ")} needs the whole vocabulary: these are the stages as sampled`);
    return parts.join(" · ");
  }

  showBounds(step, results) {
    const unsure = results.find(({ kept, shares }) => !Funnel.isExact(kept) || shares.some((share) => !Funnel.isExact(share)));
    const note = this.find(".bounds");
    note.hidden = !unsure;
    if (unsure) {
      note.textContent = `${unsure.name} ${unsure.value} cuts among the ${quantity(step.rest, "token")} that this page ` +
        "knows only as a sum: what follows from that is a range, from at least to at most.";
    }
  }
}
