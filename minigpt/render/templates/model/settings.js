// The sliders of the stages of sampling, in their order, and the biases of single tokens.
parts.settings = class {
  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.showsAll = false; // or the usual ones, and those that change something
    this.find = (selector) => root.querySelector(selector);
    this.inputs = [...root.querySelectorAll("input[type=range]")];
    for (const input of this.inputs) {
      input.addEventListener("input", () => page.setting(input.dataset.name, this.values(input)[input.valueAsNumber]));
    }
    this.find(".more").addEventListener("click", () => {
      this.showsAll = !this.showsAll;
      this.show();
    });
    this.find(".as-used").addEventListener("click", () => page.change({ settings: page.start.settings }));
    this.find(".all-off").addEventListener("click", () => page.change({ settings: {} }));
    this.find(".bias").addEventListener("input", () => this.tellBias(""));
    root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.addBias(this.find(".bias").value);
    });
  }

  // The slider's values, and the present one, which a link or a key may have set.
  values(input) {
    const { values, neutral } = this.page.filter(input.dataset.name), now = this.page.state.settings[input.dataset.name] ?? neutral;
    return [...new Set([...values, now])].sort((a, b) => a - b);
  }

  show() {
    for (const input of this.inputs) {
      const { name, neutral } = this.page.filter(input.dataset.name), value = this.page.state.settings[name] ?? neutral;
      const text = value === neutral && name !== "temperature" ? "off" : `${value}`;
      const values = this.values(input);
      input.max = values.length - 1;
      input.value = values.indexOf(value);
      input.setAttribute("aria-valuetext", text);
      input.nextElementSibling.textContent = text;
      const label = input.parentElement;
      label.hidden = !this.showsAll && !label.classList.contains("usual") && value === neutral;
    }
    this.find(".biases").hidden = !this.showsAll && !this.biases.length;
    this.find(".more").setAttribute("aria-expanded", this.showsAll);
    this.find(".more").textContent = this.showsAll ? "the usual filters" : "all filters";
    this.showBiases();
  }

  get biases() {
    return this.page.state.settings.bias ?? [];
  }

  showBiases() {
    const buttons = this.biases.map(([id, amount]) => {
      const button = element("button", { "type": "button", "data-id": id, "aria-label": `remove the bias of ${this.page.label(id)}` }, [
        element("bdi", { text: this.page.label(id) }), ` ${amount > 0 ? "+" : ""}${amount} ×`,
      ]);
      button.addEventListener("click", () => this.page.setting("bias", this.biases.filter(([other]) => other !== id)));
      return element("li", {}, [button]);
    });
    this.find(".given-biases").replaceChildren(...buttons);
  }

  // The tokens that a text is, or the one with the id of `#262`.
  idsOf(token) {
    return /^#\d+$/.test(token) ? [Number(token.slice(1))] : this.page.tokenizer.encode(token);
  }

  // Why a text does not name one token; nothing where it does.
  notOne(token) {
    const { tokenizer, data: { config } } = this.page, ids = this.idsOf(token), isId = /^#\d+$/.test(token);
    if (isId) return ids[0] < config.vocabulary ? "" : `${token}: ids go from 0 to ${(config.vocabulary - 1).toLocaleString("en")}.`;
    const lost = [...new Set(tokenizer.lost(token))].slice(0, 20).join(" ");
    if (lost) return `The vocabulary has no token for ${lost}. Name one token, or #ID.`;
    if (ids.length === 1) return "";
    const cut = ids.slice(0, 6).map((id) => this.page.label(id)).join(" + ") + (ids.length > 6 ? " + …" : "");
    return `That is ${quantity(ids.length, "token")} of this vocabulary: ${cut}. Name one token, or #ID.`;
  }

  // As --bias of the command line reads it: ` the=-2` or `#262=-2`.
  addBias(written) {
    const { page } = this, end = written.lastIndexOf("="), token = written.slice(0, end);
    const number = written.slice(end + 1).trim(), amount = end < 0 || !number ? NaN : Number(number);
    const { least, most } = page.filter("bias");
    const fault = Number.isNaN(amount) || !token ? "A bias needs a token and a number, as in ' the=-2'."
      : !(amount >= least && amount <= most) ? `The number must lie between ${least} and ${most}.`
      : this.notOne(token);
    this.tellBias(fault);
    if (fault) return;
    const [id] = this.idsOf(token);
    this.find(".bias").value = "";
    page.setting("bias", [...this.biases.filter(([other]) => other !== id), [id, amount]]);
  }

  tellBias(fault) {
    this.find(".bias-note").hidden = !fault;
    this.find(".bias-note").textContent = fault;
  }
};
