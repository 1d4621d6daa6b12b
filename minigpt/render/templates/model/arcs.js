// Attention as lines over the text, from the token that looks to those that it looks at.
class Arcs {
  static LEAST = 0.01; // the smallest weight that is drawn

  constructor(root, page) {
    this.page = page;
    this.text = element("div", { "class": "text", "role": "listbox", "aria-orientation": "horizontal", "aria-label": "The token that looks. Arrow keys move from one to the next." });
    this.svg = AttentionGrid.drawn("svg", { "aria-hidden": true });
    this.caption = element("p", { class: "sums" });
    root.append(element("div", { class: "arcs" }, [this.svg, this.text]), this.caption);
    this.text.addEventListener("click", (event) => {
      const token = event.target.closest(".token");
      if (token) this.choose(Number(token.dataset.t));
    });
    this.text.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.reading && this.draw()).observe(this.text);
  }

  key(event) {
    const last = this.reading.length - 1;
    const target = { ArrowRight: this.t + 1, ArrowLeft: this.t - 1, Home: 0, End: last }[event.key];
    if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.choose(Math.max(0, Math.min(last, target)));
    this.tokens[this.t].focus();
  }

  choose(t) {
    this.page.change({ at: t === this.reading.length - 1 ? null : this.reading.start + t });
  }

  show({ reading, t, layer, head }) {
    if (this.reading !== reading) this.makeTokens(reading);
    Object.assign(this, { reading, t, weights: reading.weights(layer, head, t) });
    this.tokens.forEach((token, i) => {
      token.setAttribute("aria-selected", i === t);
      token.setAttribute("tabindex", i === t ? 0 : -1);
      token.classList.toggle("shown", i === t);
      const share = i <= t ? `attended to with ${percent(this.weights[i])}` : "comes later: masked";
      token.title = `${reading.start + i + 1} ${this.page.label(reading.ids[i])}: ${share}`;
    });
    this.draw();
  }

  makeTokens(reading) {
    this.tokens = Array.from(reading.ids, (id, t) => element("span", {
      "class": "token", "role": "option", "data-t": t, "data-id": id, "text": this.page.written(id).replaceAll("\n", "⏎\n").replaceAll("\t", "⇥\t") || "∅",
    }));
    this.text.replaceChildren(...this.tokens);
  }

  draw() {
    const box = this.svg.parentNode.getBoundingClientRect();
    const place = (i) => {
      const { left, top, width } = this.tokens[i].getClientRects()[0] ?? box;
      return { x: left + width / 2 - box.left, y: top - box.top };
    };
    const from = place(this.t), drawn = [];
    this.weights.forEach((weight, s) => {
      if (weight >= Arcs.LEAST) drawn.push(this.arc(from, place(s), weight, s));
    });
    this.svg.setAttribute("width", box.width);
    this.svg.setAttribute("height", box.height);
    this.svg.replaceChildren(...drawn);
    const small = this.weights.filter((weight) => weight < Arcs.LEAST);
    const rest = small.reduce((sum, weight) => sum + weight, 0);
    this.caption.textContent = "the thicker a line, the larger the weight" +
      (small.length ? ` · not drawn: ${quantity(small.length, "token")} with less than ${percent(Arcs.LEAST, 0)} each, together ${percent(rest)}` : "");
  }

  // A curve above both tokens; to the token itself, a loop.
  arc(from, to, weight, s) {
    const reach = Math.abs(from.x - to.x), peak = Math.min(from.y, to.y) - Math.min(34, 8 + reach / 5);
    const path = from.x === to.x && from.y === to.y
      ? `M${from.x} ${from.y} C${from.x - 14} ${from.y - 22} ${from.x + 14} ${from.y - 22} ${from.x} ${from.y}`
      : `M${from.x} ${from.y} C${from.x} ${peak} ${to.x} ${peak} ${to.x} ${to.y}`;
    return AttentionGrid.drawn("path", { "d": path, "stroke-width": 1 + 7 * weight, "stroke-opacity": 0.35 + 0.65 * weight, "data-to": s, "data-weight": weight });
  }
}
