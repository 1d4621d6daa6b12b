// Tables of numbers as pictures: blue is above zero and orange below, as strong as the number; one is read at a time.
views.heatmap = (section, { pictures }) => {
  const figures = section.querySelectorAll("figure");
  pictures.forEach((picture, i) => new HeatMap(figures[i], picture));
};

class HeatMap {
  static MINUS = [213, 94, 0];
  static PLUS = [0, 114, 178];

  constructor(figure, picture) {
    this.picture = picture;
    this.at = [0, 0]; // row, column
    this.frame = figure.querySelector(".heatmap");
    this.canvas = figure.querySelector("canvas");
    this.numbers = figure.querySelector(".numbers");
    this.draw();
    this.read();
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    this.frame.addEventListener("keydown", (event) => this.key(event));
  }

  // A pixel for each number; the style sheet makes it larger.
  draw() {
    const { values } = this.picture;
    const [height, width] = [values.length, values[0].length];
    Object.assign(this.canvas, { width, height });
    const image = new ImageData(width, height);
    values.flat().forEach((value, i) => {
      const [red, green, blue] = value < 0 ? HeatMap.MINUS : HeatMap.PLUS;
      image.data.set([red, green, blue, Math.min(255, (Math.abs(value) / 1000) * 255)], 4 * i);
    });
    this.canvas.getContext("2d").putImageData(image, 0, 0);
  }

  point(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const { values } = this.picture;
    this.move(Math.floor(((event.clientY - top) / height) * values.length), Math.floor(((event.clientX - left) / width) * values[0].length));
  }

  key(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.move(this.at[0] + step[0], this.at[1] + step[1]);
  }

  move(row, column) {
    const { values } = this.picture;
    const within = (number, count) => Math.max(0, Math.min(count - 1, number));
    this.at = [within(row, values.length), within(column, values[0].length)];
    this.read();
  }

  read() {
    const { values, limit, row, column, everyRow, everyColumn, height } = this.picture;
    const [y, x] = this.at;
    const last = Math.min(height, (y + 1) * everyRow) - 1;
    const rows = last > y * everyRow ? `${row}s ${y * everyRow} to ${last}` : `${row} ${y * everyRow}`;
    const number = (values[y][x] / 1000) * limit;
    this.numbers.textContent = `${rows}, ${column} ${x * everyColumn}: ${number < 0 ? "−" : "+"}${Math.abs(number).toPrecision(3)}`;
  }
}
