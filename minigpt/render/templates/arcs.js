// A text whose chosen token is joined by lines to the tokens that it attends to, one colour for each head.
//
// `new Arcs(box, labels)` fills the box with the tokens and an SVG above them. `show(row, heads)` draws: a head has its
// `hue` (degrees) and `weights` (shares between 0 and 1, one for each token up to the row). `at(event)` is the number of
// the token under the pointer, if any.
class Arcs {
  static LEAST = 0.01; // a smaller weight has no line
  static WIDEST = 0.6; // rem, of a weight of 1

  static hue(head, count) {
    return Math.round((360 * head) / count + 250) % 360;
  }

  constructor(box, labels) {
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.svg.setAttribute("aria-hidden", "true");
    this.tokens = labels.map((text, i) => element("bdi", { class: "token", text, "data-token": i }));
    box.replaceChildren(this.svg, ...this.tokens);
    box.classList.add("arcs");
    this.box = box;
    this.shown = [0, []];
    new ResizeObserver(() => this.draw()).observe(box);
  }

  at(event) {
    const token = event.target.closest?.("[data-token]");
    return token ? Number(token.dataset.token) : null;
  }

  show(row, heads) {
    this.shown = [row, heads];
    this.tokens.forEach((token, i) => {
      token.classList.toggle("shown", i === row);
      token.classList.toggle("unseen", i > row);
    });
    this.draw();
  }

  draw() {
    const [row, heads] = this.shown;
    const corner = this.box.getBoundingClientRect();
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const tops = this.tokens.map((token) => {
      const { left, width, top } = token.getClientRects()[0] ?? corner;
      return [left + width / 2 - corner.left, top - corner.top];
    });
    this.svg.replaceChildren(...heads.flatMap(({ hue, weights }, n) => weights.map((weight, i) => {
      if (weight < Arcs.LEAST) return "";
      const path = document.createElementNS(this.svg.namespaceURI, "path");
      path.setAttribute("d", Arcs.path(tops[row], tops[i], rem, n, corner.width));
      path.style.setProperty("--hue", hue);
      path.style.strokeWidth = `${Math.max(1.5, weight * Arcs.WIDEST * rem)}px`;
      path.style.opacity = 0.3 + 0.7 * Math.sqrt(weight);
      path.dataset.weight = weight;
      return path;
    })));
  }

  // An arc above both ends, higher for distant ones and for head number `n`; from a token to itself, a loop. Between lines of
  // the text it runs as the text does, above the words: to the edge of the one, and on from the edge, `width`, of the other.
  static path([x, y], [toX, toY], rem, n, width) {
    const isLower = y > toY, isOne = Math.abs(y - toY) < 1, [edge, toEdge] = isLower ? [0, width] : [width, 0];
    const far = isOne ? Math.abs(x - toX) : Infinity, high = rem * (Math.min(2.2, 0.7 + far / rem / 12) + 0.25 * n);
    const side = x === toX && isOne ? rem / 2 : 0, level = 0.75 * high; // that an arc reaches
    if (isOne) return `M${x},${y} C${x + side},${y - high} ${toX - side},${toY - high} ${toX},${toY}`;
    return `M${x},${y} Q${x},${y - level} ${edge},${y - level} M${toEdge},${toY - level} Q${toX},${toY - level} ${toX},${toY}`;
  }
}
