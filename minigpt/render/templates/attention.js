// What each token attends to: a grid, a list for one token, and, if that is in the same text, lines over the text.
// `looked`: the tokens of another text. `chosen`: layer and head of the grid that is shown first.
views.attention = views.alignment = (section, { tokens, looked, grids, chosen }) => {
  const find = (selector) => section.querySelector(selector);
  const LISTED = 8;
  const [NUMBER, WORD] = [1.7, 4]; // rem, the widths from which a cell has room for them
  const SHADES = [0, 0.25, 0.5, 0.75, 1];
  const layers = [...new Set(grids.map(({ layer }) => layer))];
  const heads = [...new Set(grids.map(({ head }) => head))]; // null for the mean
  const columns = looked ?? tokens;
  const at = { layer: 0, head: 0, row: looked ? 0 : tokens.length - 1, byRow: false, numbered: false, also: new Set() };
  if (chosen) [at.layer, at.head] = [layers.indexOf(chosen[0]), Math.max(0, heads.indexOf(chosen[1]))];

  const share = (weight) => `${(weight / 10).toFixed(1)} %`;
  const gridOf = (head) => grids.find(({ layer, head: its }) => layer === layers[at.layer] && its === heads[head]);

  const cells = tokens.map((_, row) => (looked ?? tokens.slice(0, row + 1)).map(() => element("td", { "data-row": row })));
  const labelled = (text, properties) => element("th", properties, [element("bdi", { text })]);
  const rows = tokens.map((text, row) => element("tr", { "data-row": row }, [labelled(text, { scope: "row", class: "label" }), ...cells[row]]));
  find(".grid").append(
    element("thead", {}, [element("tr", {}, [element("td"), ...columns.map((text) => labelled(text, { scope: "col", title: text }))])]),
    element("tbody", {}, rows),
  );
  find(".attention").style.setProperty("--count", Math.max(tokens.length, columns.length));
  find(".layer").append(...layers.map((text) => element("option", { text })));
  find(".head").append(...heads.map((head) => element("option", { text: head ?? "mean" })));
  find(".shades").append(...SHADES.map(() => element("li")));
  const arcs = looked ? null : new Arcs(find(".lines"), tokens);
  if (arcs) makeAlso();

  // A box for each head whose lines can be drawn beside those of the chosen one.
  function makeAlso() {
    find(".also").hidden = heads.length < 2;
    find(".also").append(...heads.map((head, i) => {
      const box = element("input", { type: "checkbox", value: i });
      box.addEventListener("change", () => {
        box.checked ? at.also.add(i) : at.also.delete(i);
        showRow();
      });
      const label = element("label", {}, [box, element("span", { text: head ?? "mean" })]);
      label.style.setProperty("--hue", Arcs.hue(i, heads.length));
      return label;
    }));
  }

  // What there is room for in a cell; whether that has changed.
  function fit() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const width = cells[0][0].getBoundingClientRect().width / rem;
    const before = at.numbered;
    at.numbered = width >= NUMBER;
    find(".grid").classList.toggle("roomy", width >= WORD);
    return at.numbered !== before;
  }

  // From 0 to 1: how strong the colour is. Which text can be read on it depends on the theme, see page.css.
  function shade(node, strength) {
    node.style.backgroundColor = `color-mix(in srgb, var(--accent) ${100 * strength}%, var(--page))`;
    node.classList.toggle("half", strength > 0.58);
    node.classList.toggle("strong", strength > 0.86);
  }

  function show() {
    const { weights } = gridOf(at.head);
    cells.forEach((row, i) => {
      const whole = at.byRow ? Math.max(...weights[i]) || 1 : 1000;
      row.forEach((cell, j) => {
        const weight = weights[i][j];
        shade(cell, weight / whole);
        cell.title = `${tokens[i]} attends to ${columns[j]}: ${share(weight)}`;
        cell.textContent = !at.numbered ? "" : weight < 5 ? "·" : Math.round(weight / 10);
      });
    });
    [...find(".shades").children].forEach((item, i) => {
      shade(item, SHADES[i]);
      item.textContent = `${100 * SHADES[i]} %${at.byRow && SHADES[i] === 1 ? " of the row's largest" : ""}`;
    });
    find(".layer").selectedIndex = at.layer;
    find(".head").selectedIndex = at.head;
    showRow();
  }

  function showRow() {
    const { layer, head, weights, note } = gridOf(at.head);
    rows.forEach((row, i) => row.classList.toggle("shown", i === at.row));
    const drawn = [...new Set([at.head, ...at.also])];
    arcs?.show(at.row, drawn.map((i) => ({
      hue: Arcs.hue(i, heads.length),
      weights: gridOf(i).weights[at.row].map((weight) => weight / 1000),
    })));
    const ordered = weights[at.row].map((weight, j) => [weight, j]).sort(([a], [b]) => b - a);
    const [looked, others] = [ordered.slice(0, LISTED), ordered.slice(LISTED)];
    const list = looked.map(([weight, j]) => `${columns[j]} (${j + 1}) ${share(weight)}`);
    const rest = others.reduce((sum, [weight]) => sum + weight, 0);
    if (others.length) list.push(`${others.length} other${others.length > 1 ? "s" : ""} ${share(rest)}`);
    const name = head === null ? `mean of layer ${layer}` : `layer ${layer}, head ${head}`;
    find(".looks").textContent = `${name}: ${tokens[at.row]} (${at.row + 1}) attends to ${list.join(", ")}${note ? ` · ${note}` : ""}`;
  }

  function move(name, step, count) {
    at[name] = Math.max(0, Math.min(count - 1, at[name] + step));
  }

  find(".attention").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") move("head", step, heads.length);
    else if (event.shiftKey) move("row", step, tokens.length);
    else move("layer", step, layers.length);
    show();
  });
  for (const kind of ["pointerover", "click"]) {
    find(".attention").addEventListener(kind, (event) => {
      const row = event.target.closest("[data-row], [data-token]");
      if (!row) return;
      at.row = Number(row.dataset.row ?? row.dataset.token);
      showRow();
    });
  }
  for (const name of ["layer", "head"]) {
    find(`.${name}`).addEventListener("change", (event) => {
      at[name] = event.target.selectedIndex;
      show();
    });
  }
  find(".by-row").addEventListener("change", (event) => {
    at.byRow = event.target.checked;
    show();
  });
  new ResizeObserver(() => fit() && show()).observe(cells[0][0]);
  fit();
  show();
};
