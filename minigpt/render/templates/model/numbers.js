// The model's numbers on screen, and arithmetic with these numbers filled in.
const Numbers = (() => {
  const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  const WRITTEN = 3; // terms of a sum, the others are counted

  // Three significant digits: `0.341`, `−12.3`, `1,234`, `1.20·10⁻⁷`.
  function figure(x) {
    if (Number.isNaN(x)) return "not a number";
    if (x === 0) return "0";
    const sign = x < 0 ? "−" : "", size = Math.abs(x);
    if (size === Infinity) return `${sign}∞`;
    if (size < 1e-4 || size >= 1e7) {
      const [digits, exponent] = size.toExponential(2).split("e");
      return `${sign}${digits}·10${[...String(Number(exponent))].map((each) => RAISED[each]).join("")}`;
    }
    return sign + (size >= 999.5 ? Math.round(size).toLocaleString("en") : size.toPrecision(3));
  }

  // An element that shows a number and keeps all its digits.
  function number(x, name = "span") {
    return element(name, { "class": "number", "text": figure(x), "title": String(x), "data-value": x });
  }

  function share(x, name = "span") {
    return element(name, { "class": "number", "text": percent(x), "title": String(x), "data-value": x });
  }

  // formula`q · k = ${score}`: the parts of a line, in which numbers become elements. Counts are passed as text.
  function formula(words, ...values) {
    const part = (value) => (typeof value === "number" ? [number(value)] : [value].flat());
    return words.flatMap((text, i) => (i < values.length ? [text, ...part(values[i])] : [text])).filter((each) => each !== "");
  }

  // A number that is multiplied: in brackets, if it is negative.
  function factor(x) {
    return x < 0 ? ["(", number(x), ")"] : number(x);
  }

  // a₁ × b₁ + a₂ × b₂ + a₃ × b₃ + … (29 more)
  function products(left, right) {
    const terms = Array.from(left.slice(0, WRITTEN), (x, i) => [...formula`${factor(x)} × ${factor(right[i])}`]);
    return joined(terms, left.length);
  }

  // a₁ + a₂ + a₃ + … (2 more)
  function sum(numbers) {
    return joined(Array.from(numbers.slice(0, WRITTEN), (x) => [factor(x)].flat()), numbers.length);
  }

  function joined(terms, count) {
    const parts = terms.flatMap((term, i) => (i ? [" + ", ...term] : term));
    return count > terms.length ? [...parts, ` + … (${(count - terms.length).toLocaleString("en")} more)`] : parts;
  }

  // One component of a layer norm: the row's mean and standard deviation, then the weight and the bias.
  function norm(row, normed, { weight, bias }, epsilon, c) {
    const { mean, deviation } = GPT.moments(row, epsilon);
    return formula`(x − mean) / deviation × weight + bias = (${row[c]} − ${factor(mean)}) / ${deviation} × ${factor(weight[c])} + ${factor(bias[c])} = ${normed[c]}`;
  }

  // Column `c` of a matrix [in, width].
  function column(weight, width, c) {
    return Float32Array.from({ length: weight.length / width }, (_, i) => weight[i * width + c]);
  }

  function length(row) {
    return Math.sqrt(GPT.dot(row, 0, row, 0, row.length));
  }

  return { figure, number, share, formula, factor, products, sum, norm, column, length };
})();

// A sum of products: its first terms in a line, and all of them on demand.
class Products {
  constructor() {
    this.line = element("p", { class: "formula" });
    this.summary = element("summary");
    this.table = element("table", { class: "terms" });
    this.all = element("details", { class: "all" }, [this.summary, element("div", { class: "wide" }, [this.table])]);
    this.all.addEventListener("toggle", () => this.showAll());
    this.root = element("div", { class: "products" }, [this.line, this.all]);
  }

  // before, after: parts of the line; names: what the factors are, and what they are counted by;
  // left, right: the factors; bias: what is added at the end, if anything; result: the model's own sum.
  show(what) {
    const { formula, products, factor } = Numbers;
    const { before, after = [], left, right, bias = null, result } = what;
    this.what = what;
    this.line.replaceChildren(...formula`${before} = ${products(left, right)}${bias === null ? "" : [" + ", factor(bias)].flat()} = ${result}${after}`);
    this.line.dataset.result = result;
    this.summary.textContent = left.length === 1 ? "the product" : `all ${quantity(left.length, "product")}`;
    this.showAll();
  }

  showAll() {
    if (!this.all.open || !this.what) return;
    const { left, right, bias = null, names: [each, ...factors], rows = null } = this.what;
    let sum = bias ?? 0;
    const lines = Array.from(left, (x, i) => {
      sum += x * right[i];
      return element("tr", {}, [
        element("th", { scope: "row", text: rows ? rows[i] : i + 1 }),
        Numbers.number(x, "td"), Numbers.number(right[i], "td"), Numbers.number(x * right[i], "td"),
      ]);
    });
    const last = (name, x) => element("tr", { class: "last" }, [element("th", { scope: "row", colspan: 3, text: name }), Numbers.number(x, "td")]);
    this.table.replaceChildren(
      element("thead", {}, [element("tr", {}, [each, ...factors, "product"].map((text) => element("th", { scope: "col", text })))]),
      element("tbody", {}, lines),
      element("tfoot", {}, [...(bias === null ? [] : [last("bias", bias)]), last("sum", sum)]),
    );
  }
}
