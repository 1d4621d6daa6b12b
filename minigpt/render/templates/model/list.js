// The ranked list of the next token.
parts.list = class {
  constructor(root, page) {
    this.root = root;
    this.page = page;
  }

  show() {
    const { page } = this, { raw } = page.sampling();
    const best = Sampling.ranked(raw, 10), rest = 1 - best.reduce((sum, id) => sum + raw[id], 0);
    const rows = best.map((id) => element("tr", { "data-id": id }, [
      element("th", { scope: "row" }, [element("bdi", { text: page.label(id) })]), element("td", { "text": percent(raw[id]), "data-share": raw[id] }),
    ]));
    this.root.querySelector(".next").replaceChildren(...rows, element("tr", { class: "other" }, [
      element("th", { scope: "row", text: `other (${quantity(raw.length - best.length, "token")})` }), element("td", { text: percent(rest) }),
    ]));
  }
};
