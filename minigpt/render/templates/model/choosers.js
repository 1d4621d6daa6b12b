// Selects for the token, the layer and the head that are looked at, wherever a part shows them.
class Choosers {
  constructor(root, page, names = ["token", "layer", "head"]) {
    this.page = page;
    this.selects = Object.fromEntries(names.map((name) => [name, element("select", { class: `choose-${name}` })]));
    root.append(...names.map((name) => element("label", {}, [`${name} `, this.selects[name]])));
    this.note = element("p", { class: "note window-note" });
    root.after(this.note);
    this.selects.token?.addEventListener("change", () => page.lookAt(this.selects.token.selectedIndex));
    for (const name of ["layer", "head"]) {
      this.selects[name]?.addEventListener("change", () => page.change({ [name]: this.selects[name].selectedIndex + 1 }));
    }
  }

  show() {
    const { page } = this, { reading, t, layer, head } = page.looking, { config } = page.model;
    this.note.textContent = page.windowNote();
    this.note.hidden = !this.note.textContent;
    this.offer("token", Array.from(reading.ids, (id, i) => `${reading.start + i + 1}  ${page.label(id)}`), t);
    this.offer("layer", Array.from({ length: config.layers }, (_, i) => `${i + 1}`), layer);
    this.offer("head", Array.from({ length: config.heads }, (_, i) => `${i + 1}`), head);
  }

  offer(name, texts, chosen) {
    const select = this.selects[name];
    if (!select) return;
    const key = JSON.stringify(texts);
    if (select.key !== key) select.replaceChildren(...texts.map((text) => element("option", { text })));
    select.key = key;
    select.selectedIndex = chosen;
  }
}
