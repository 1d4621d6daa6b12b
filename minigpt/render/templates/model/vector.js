// A vector as a strip of coloured cells.
//
// One of its components is chosen, by pointer or arrow keys, and read out; a table of all numbers opens on demand.
class Vector {
  static PAINTS = { more: [47, 126, 207], less: [222, 122, 32] }; // seen on light and dark
  static COLUMNS = 8;

  // choose: called with the index of the component that was chosen
  constructor(name, choose) {
    this.name = name;
    this.choose = choose;
    this.heading = element("span", { class: "vector-name" });
    this.canvas = element("canvas", { height: 1 });
    this.marker = element("span", { class: "marker" });
    this.strip = element("div", { class: "strip", role: "slider", tabindex: 0 }, [this.canvas, this.marker]);
    this.readout = element("output");
    this.table = element("table", { class: "all-numbers" });
    this.all = element("details", { class: "all" }, [element("summary", { text: "all numbers" }), element("div", { class: "wide" }, [this.table])]);
    this.root = element("div", { "class": "vector", "data-vector": name }, [this.heading, this.strip, this.readout, this.all]);
    this.listen();
  }

  listen() {
    const under = ({ clientX }) => {
      const { left, width } = this.strip.getBoundingClientRect();
      return Math.max(0, Math.min(this.values.length - 1, Math.floor(((clientX - left) / width) * this.values.length)));
    };
    this.strip.addEventListener("pointermove", (event) => this.read(under(event)));
    this.strip.addEventListener("pointerleave", () => this.read(this.chosen));
    this.strip.addEventListener("click", (event) => this.choose(under(event)));
    this.strip.addEventListener("keydown", (event) => this.key(event));
    this.all.addEventListener("toggle", () => this.showAll());
  }

  key(event) {
    const last = this.values.length - 1;
    const target = {
      ArrowRight: this.chosen + 1, ArrowLeft: this.chosen - 1, ArrowUp: this.chosen + 1, ArrowDown: this.chosen - 1,
      PageUp: this.chosen + 10, PageDown: this.chosen - 10, Home: 0, End: last,
    }[event.key];
    if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.choose(Math.max(0, Math.min(last, target)));
  }

  // values: the vector; chosen: the index of a component; note: what stands behind the name
  show(values, chosen, note = "") {
    this.values = values;
    this.chosen = chosen;
    this.largest = Vector.paint(this.canvas, values);
    this.heading.replaceChildren(element("b", { text: this.name }), ` ${note ? `${note}, ` : ""}${quantity(values.length, "number")}`);
    const attributes = { "aria-label": `${this.name} ${note}`.trim(), "aria-valuemin": 1, "aria-valuemax": values.length, "aria-valuenow": chosen + 1 };
    for (const [name, value] of Object.entries(attributes)) this.strip.setAttribute(name, value);
    this.strip.setAttribute("aria-valuetext", `component ${chosen + 1}: ${Numbers.figure(values[chosen])}`);
    this.root.style.maxWidth = `${Math.max(28, 1.5 * values.length)}rem`;
    this.read(chosen);
    this.showAll();
  }

  read(index) {
    this.marker.style.left = `${(100 * index) / this.values.length}%`;
    this.marker.style.width = `${100 / this.values.length}%`;
    this.readout.replaceChildren(...Numbers.formula`component ${String(index + 1)}: ${this.values[index]} · largest amount ${this.largest}`);
  }

  showAll() {
    if (!this.all.open || !this.values) return;
    const rows = [];
    for (let first = 0; first < this.values.length; first += Vector.COLUMNS) {
      const cells = Array.from(this.values.slice(first, first + Vector.COLUMNS), (x) => Numbers.number(x, "td"));
      rows.push(element("tr", {}, [element("th", { scope: "row", text: first + 1 }), ...cells]));
    }
    this.table.replaceChildren(...rows);
  }

  // A pixel for each number: its colour tells the sign, its opacity the amount as a share of the largest, which is returned.
  static paint(canvas, values) {
    const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    canvas.width = values.length;
    const context = canvas.getContext("2d"), image = context.createImageData(values.length, 1);
    values.forEach((x, i) => image.data.set([...Vector.PAINTS[x < 0 ? "less" : "more"], largest ? (255 * Math.abs(x)) / largest : 0], 4 * i));
    context.putImageData(image, 0, 0);
    return largest;
  }

  // A strip that only shows.
  static picture(values, name) {
    const canvas = element("canvas", { "class": "strip small", "height": 1, "role": "img", "aria-label": name });
    Vector.paint(canvas, values);
    return canvas;
  }
}
