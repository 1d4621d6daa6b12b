// The text, as it is typed and as the model reads it: cut into tokens.
parts.prompt = class {
  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.input = root.querySelector("textarea");
    this.input.addEventListener("input", () => page.change({ text: this.input.value, added: [], at: null, removed: [] }));
  }

  show() {
    const { page } = this;
    if (this.input.value !== page.state.text) this.input.value = page.state.text;
    const given = page.given.length;
    this.root.querySelector(".tokens").replaceChildren(...page.ids.map((id, place) => element("span", {
      "class": place < given ? "token given" : "token", "text": page.written(id), "data-place": place, "title": `${page.label(id)} #${id}`,
    })));
  }
};
