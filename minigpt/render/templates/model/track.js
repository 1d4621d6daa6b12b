// The probabilities of a few tokens over the steps of a training, as lines.
//
// `show(lines, steps, number)`: a line has the shares of its token in every frame, null where they are not computed yet;
// frames stand at equal distances, and frame `number` is marked.
class Track {
  static WIDTH = 360;
  static HEIGHT = 180;
  static LABELS = 6; // of the steps, at most about

  constructor(root, shapes) {
    this.shapes = shapes;
    this.svg = Track.node("svg", { viewBox: `-52 -12 ${Track.WIDTH + 72} ${Track.HEIGHT + 56}`, role: "img" });
    root.append(this.svg);
  }

  static node(name, properties = {}, children = []) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // A token's line in small, for a table.
  swatch(number) {
    const line = Track.node("polyline", { class: `series-${number + 1}`, points: "0,0 56,0" });
    return Track.node("svg", { class: "swatch", viewBox: "0 -7 56 14", "aria-hidden": true }, [line, this.mark(number, 28, 0)]);
  }

  mark(number, x, y, size = 1) {
    return Track.node("path", { class: `mark series-${number + 1}`, d: this.shapes[number], transform: `translate(${x} ${y}) scale(${size})` });
  }

  show(lines, steps, number) {
    const most = Math.max(...lines.flatMap(({ shares }) => shares.filter((share) => share !== null)));
    const { node, WIDTH, HEIGHT } = Track;
    const x = (frame) => (WIDTH * frame) / Math.max(1, steps.length - 1), y = (share) => HEIGHT * (1 - share / most);
    const text = (words, at, anchor) => {
      const made = node("text", { class: "tick", ...at, "text-anchor": anchor });
      made.textContent = words;
      return made;
    };
    const every = Math.ceil(steps.length / Track.LABELS), last = steps.length - 1;
    const labelled = steps.map((_, frame) => frame).filter((frame) => (last - frame) % every === 0);
    const ticks = labelled.map((frame) => text(steps[frame].toLocaleString("en"), { x: x(frame), y: HEIGHT + 18 }, "middle"));
    const heights = [0, most / 2, most].flatMap((share) => [
      node("line", { class: "rule", x1: 0, x2: WIDTH, y1: y(share), y2: y(share) }), text(percent(share, 1), { x: -6, y: y(share) + 4 }, "end"),
    ]);
    this.svg.setAttribute("aria-label", `The probability of ${lines.map(({ name }) => name).join(", ")} at every step`);
    this.svg.replaceChildren(
      node("rect", { class: "frame", x: 0, y: 0, width: WIDTH, height: HEIGHT }), ...heights, ...ticks,
      text("step", { x: WIDTH / 2, y: HEIGHT + 36 }, "middle"),
      node("line", { "class": "now", "x1": x(number), "x2": x(number), "y1": 0, "y2": HEIGHT, "data-frame": number }),
      ...lines.flatMap(({ id, name, shares }, n) => this.line(n, { id, name, shares, x, y, number })),
    );
  }

  line(n, { id, name, shares, x, y, number }) {
    const known = [...shares.keys()].filter((frame) => shares[frame] !== null), { node } = Track;
    const title = node("title");
    title.textContent = name;
    const points = known.map((frame) => `${x(frame).toFixed(1)},${y(shares[frame]).toFixed(1)}`).join(" ");
    const values = known.map((frame) => shares[frame]).join(" ");
    return [
      node("polyline", { "class": `series-${n + 1}`, points, "data-id": id, "data-shares": values }, [title]),
      ...known.map((frame) => this.mark(n, x(frame), y(shares[frame]), frame === number ? 1.6 : 1)),
    ];
  }
}
