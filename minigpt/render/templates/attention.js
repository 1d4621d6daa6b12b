// Which earlier tokens each token looks at: a grid, and a list for one token; layers and heads are flipped through.
views.attention = (section, { tokens, grids }) => {
  const find = (selector) => section.querySelector(selector);
  const NUMBERED = 12; // tokens, for which a number fits into each cell
  const LISTED = 8;
  const layers = [...new Set(grids.map(({ layer }) => layer))];
  const heads = [...new Set(grids.map(({ head }) => head))]; // null for the mean
  const at = { layer: 0, head: 0, row: tokens.length - 1 };

  const share = (weight) => `${(weight / 10).toFixed(1)} %`;
  const grid = () => grids.find(({ layer, head }) => layer === layers[at.layer] && head === heads[at.head]);

  const cells = tokens.map((_, row) => tokens.slice(0, row + 1).map(() => element("td", { "data-row": row })));
  const labelled = (text, properties) => element("th", properties, [element("bdi", { text })]);
  const rows = tokens.map((text, row) => element("tr", { "data-row": row }, [labelled(text, { scope: "row", class: "label" }), ...cells[row]]));
  find(".grid").append(
    element("thead", {}, [element("tr", {}, [element("td"), ...tokens.map((text) => labelled(text, { scope: "col", title: text }))])]),
    element("tbody", {}, rows),
  );
  find(".layer").append(...layers.map((text) => element("option", { text })));
  find(".head").append(...heads.map((head) => element("option", { text: head ?? "mean" })));

  function show() {
    const { weights } = grid();
    cells.forEach((row, i) => row.forEach((cell, j) => {
      const weight = weights[i][j];
      cell.style.backgroundColor = `color-mix(in srgb, var(--accent) ${weight / 10}%, transparent)`;
      cell.classList.toggle("strong", weight > 550);
      cell.title = `${tokens[i]} looks at ${tokens[j]}: ${share(weight)}`;
      if (tokens.length <= NUMBERED) cell.textContent = Math.round(weight / 10);
    }));
    find(".layer").selectedIndex = at.layer;
    find(".head").selectedIndex = at.head;
    showRow();
  }

  function showRow() {
    const { layer, head, weights } = grid();
    rows.forEach((row, i) => row.classList.toggle("shown", i === at.row));
    const ordered = weights[at.row].map((weight, j) => [weight, j]).sort(([a], [b]) => b - a);
    const [looked, others] = [ordered.slice(0, LISTED), ordered.slice(LISTED)];
    const list = looked.map(([weight, j]) => `${tokens[j]} (${j + 1}) ${share(weight)}`);
    const rest = others.reduce((sum, [weight]) => sum + weight, 0);
    if (others.length) list.push(`${others.length} other${others.length > 1 ? "s" : ""} ${share(rest)}`);
    const name = head === null ? `mean of layer ${layer}` : `layer ${layer}, head ${head}`;
    find(".looks").textContent = `${name}: ${tokens[at.row]} (${at.row + 1}) looks at ${list.join(", ")}`;
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
  find(".grid").addEventListener("pointerover", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) at.row = Number(row.dataset.row);
    showRow();
  });
  for (const name of ["layer", "head"]) {
    find(`.${name}`).addEventListener("change", (event) => {
      at[name] = event.target.selectedIndex;
      show();
    });
  }
  show();
};
