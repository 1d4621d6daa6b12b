// Two distributions of the next token beside each other, in numbers and as a table.
const Pair = (() => {
  // logits [V] -> probabilities [V] and surprisals [V] in bits; both in float64
  function distribution(logits) {
    const shares = GPT.softmax(logits), best = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    let sum = 0;
    for (let id = 0; id < logits.length; id += 1) sum += Math.exp(logits[id] - best);
    const bits = Float64Array.from(logits, (logit) => (best + Math.log(sum) - logit) / Math.LN2);
    return { shares, bits, entropyBits: shares.reduce((total, share, id) => (share ? total + share * bits[id] : total), 0) };
  }

  // D(p || q): how many bits more the tokens of p cost when they are coded by q.
  function divergence(p, q) {
    return Math.max(0, p.shares.reduce((total, share, id) => (share ? total + share * (q.bits[id] - p.bits[id]) : total), 0));
  }

  // The tokens that are likeliest in either of two distributions, and those `tracked`; all others are summed.
  function compared(one, other, tracked = [], count = 10) {
    const larger = one.shares.map((share, id) => Math.max(share, other.shares[id]));
    const ids = [...new Set([...Sampling.ranked(larger, count), ...tracked])], listed = new Set(ids);
    const rest = { count: larger.length - ids.length, one: 0, other: 0 };
    for (let id = 0; id < larger.length; id += 1) {
      if (!listed.has(id)) {
        rest.one += one.shares[id];
        rest.other += other.shares[id];
      }
    }
    const rows = ids.map((id) => ({ id, one: one.shares[id], other: other.shares[id], bits: one.bits[id] - other.bits[id] }));
    return { rows, rest };
  }

  // `+1.20`, `−0.35`
  function signed(number, decimals = 2) {
    const text = Math.abs(number).toFixed(decimals);
    return Number(text) === 0 ? text : `${number < 0 ? "−" : "+"}${text}`;
  }

  function share(value, most, isOther) {
    const bar = element("span", { class: isOther ? "bar hollow" : "bar" });
    bar.style.width = `${(100 * value) / most}%`;
    return [element("td", { class: "bars" }, [bar]), element("td", { "text": percent(value), "data-share": value })];
  }

  // The rows of a table; `names`: of the two columns. `choose`, if given, is called with the id of a row's button.
  function table(page, { rows, rest }, names, { chosen = null, choose = null } = {}) {
    const most = Math.max(...rows.flatMap(({ one, other }) => [one, other]));
    const label = (id) => element("bdi", { text: page.label(id) });
    const button = (id) => element("button", { "type": "button", "class": "take", "aria-pressed": id === chosen, "title": "tell its change" }, [label(id)]);
    const made = rows.map(({ id, one, other, bits }) => element("tr", { "data-id": id, ...(id === chosen ? { class: "chosen" } : {}) }, [
      element("th", { scope: "row", class: "label" }, [choose ? button(id) : label(id)]), ...share(one, most), ...share(other, most, true),
      element("td", { "text": signed(bits), "data-bits": bits }),
    ]));
    if (choose) made.forEach((row, i) => row.querySelector("button").addEventListener("click", () => choose(rows[i].id)));
    const cells = [rest.one, rest.other].flatMap((value) => [element("td"), element("td", { "text": percent(value), "data-share": value })]);
    const headings = [["token"], [names[0], 2], [names[1], 2], ["bits"]];
    return [
      element("thead", {}, [element("tr", {}, headings.map(([text, colspan = 1]) => element("th", { scope: "col", text, colspan })))]),
      element("tbody", {}, [...made, element("tr", { class: "other" }, [
        element("th", { scope: "row", text: `other (${quantity(rest.count, "token")})` }), ...cells, element("td"),
      ])]),
    ];
  }

  // That each column adds up, from its rows.
  function sums({ rows, rest }, names) {
    return ["one", "other"].map((key, i) => {
      const shown = rows.reduce((total, row) => total + row[key], 0);
      return `${names[i]}: shown ${percent(shown)} + other ${percent(rest[key])} = ${Number((100 * (shown + rest[key])).toPrecision(8))} %`;
    }).join(" · ");
  }

  // Entropies and divergences, as a sentence and as data of its element.
  function tell(node, one, other, names) {
    const both = [divergence(one, other), divergence(other, one)];
    Object.assign(node.dataset, { divergence: both[0], back: both[1], entropy: one.entropyBits, otherEntropy: other.entropyBits });
    node.textContent = `entropy ${one.entropyBits.toFixed(2)} and ${other.entropyBits.toFixed(2)} bits · KL divergence ${both[0].toFixed(3)} bits of ` +
      `“${names[1]}” from “${names[0]}”, ${both[1].toFixed(3)} bits the other way around · bits: log2(${names[1]} / ${names[0]})`;
  }

  return { distribution, divergence, compared, signed, table, sums, tell };
})();
