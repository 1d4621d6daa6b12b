// A text in the colours of one number of a recurrent network, such as a unit's state; and all numbers after one token.
views.gates = (section, data) => new GateView(section, data);

class GateView {
  static STRONGEST = 70; // percent, so that letters stay legible

  constructor(section, data) {
    this.data = data;
    this.find = (selector) => section.querySelector(selector);
    this.at = 0;
    this.shown = 0; // which of the quantities
    this.tokens = data.tokens.map(([, text], i) => element("span", { "class": "token", "data-index": i, text: text || "∅" }));
    this.find(".text").append(...this.tokens);
    this.find(".quantity").append(...data.quantities.map(({ name }) => element("option", { text: name })));
    this.cells = data.quantities.map(() => element("td"));
    this.rows = data.quantities.map(({ name }, i) => element("tr", {}, [element("th", { scope: "row", text: name }), this.cells[i]]));
    this.find(".values tbody").append(...this.rows);
    this.listen();
    this.colour();
    this.select(0);
  }

  listen() {
    const text = this.find(".text");
    const index = (event) => event.target.closest?.(".token")?.dataset.index;
    for (const kind of ["pointerover", "click"]) {
      text.addEventListener(kind, (event) => index(event) && this.select(Number(index(event))));
    }
    text.addEventListener("keydown", (event) => this.key(event));
    this.find(".quantity").addEventListener("change", (event) => {
      this.shown = event.target.selectedIndex;
      this.colour();
      this.select(this.at);
    });
  }

  key(event) {
    const last = this.tokens.length - 1;
    const target = { ArrowRight: this.at + 1, ArrowLeft: this.at - 1, Home: 0, End: last }[event.key];
    if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.select(Math.max(0, Math.min(last, target)));
    this.tokens[this.at].scrollIntoView({ block: "nearest" });
  }

  number(value, { signed }) {
    const text = Math.abs(value).toFixed(Math.abs(value) < 10 ? 3 : 1);
    return value < 0 ? `−${text}` : signed ? `+${text}` : text;
  }

  // Blue is above zero and orange below; what has no sign has one colour.
  colour() {
    const quantity = this.data.quantities[this.shown];
    const { values, limit, signed } = quantity;
    const colours = signed ? ["#d55e00", "#0072b2"] : ["var(--bar)", "var(--bar)"];
    this.tokens.forEach((token, i) => {
      const strength = limit ? (Math.abs(values[i]) / limit) * GateView.STRONGEST : 0;
      token.style.backgroundColor = `color-mix(in srgb, ${colours[values[i] > 0 ? 1 : 0]} ${strength}%, transparent)`;
    });
    this.find(".low").textContent = signed ? this.number(-limit, quantity) : "0";
    this.find(".high").textContent = this.number(limit, quantity);
    this.find(".ramp").classList.toggle("one-sided", !signed);
  }

  select(index) {
    this.tokens[this.at].classList.remove("shown");
    this.at = index;
    this.tokens[index].classList.add("shown");
    this.find(".which").textContent = `${this.data.tokens[index][0]} (${index + 1})`;
    this.data.quantities.forEach((quantity, i) => {
      this.cells[i].textContent = this.number(quantity.values[index], quantity);
      this.rows[i].classList.toggle("chosen", i === this.shown);
    });
    this.find(".spoken").textContent = `${this.data.tokens[index][0]}: ${this.data.quantities[this.shown].name} ${this.cells[this.shown].textContent}`;
  }
}
