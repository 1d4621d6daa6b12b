// The numbers of one token on their way through the model: a station for each thing that happens to them.
const stations = {};

// A station: a <details> whose body is filled while it is open. `chosen` holds the index of the component that is looked at
// in the vectors of each kind: "C" of the stream, "D" of a head, "I" inside the MLP.
class Station {
  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.body = root.querySelector(".body");
    this.chosen = { C: 0, D: 0, I: 0 };
    this.vectors = {};
    root.addEventListener("toggle", () => this.show());
    this.make();
  }

  show() {
    const at = this.page.looking;
    const where = this.root.querySelector(".where");
    if (where) where.textContent = where.dataset.head === undefined ? `layer ${at.layer + 1}` : `layer ${at.layer + 1}, head ${at.head + 1}`;
    if (this.root.open) this.draw(at);
  }

  // A vector's view, which is filled by `fill`.
  vector(name, kind) {
    this.vectors[name] = new Vector(name, (index) => {
      this.chosen[kind] = index;
      this.show();
    });
    this.vectors[name].kind = kind;
    return this.vectors[name].root;
  }

  fill(name, values, note) {
    this.vectors[name].show(values, this.chosen[this.vectors[name].kind], note);
  }

  line(name) {
    this[name] = element("p", { "class": "formula", "data-line": name });
    return this[name];
  }

  products(name) {
    this[name] = new Products();
    return this[name].root;
  }
}

parts.inside = class {
  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.choosers = new Choosers(root.querySelector(".tools"), page);
    this.stations = [...root.querySelectorAll("[data-station]")].map((each) => new stations[each.dataset.station](each, page));
    root.querySelector(".open-all").addEventListener("click", () => this.open(true));
    root.querySelector(".close-all").addEventListener("click", () => this.open(false));
  }

  open(isOpen) {
    for (const { root } of this.stations) root.open = isOpen;
  }

  show() {
    const { page } = this, { reading, t } = page.looking;
    this.choosers.show();
    this.root.querySelector(".whole").hidden = !page.isChanged;
    this.root.querySelector(".outside").hidden = page.state.at === null || page.state.at >= reading.start;
    this.root.dataset.place = reading.start + t;
    for (const station of this.stations) station.show();
  }
};
