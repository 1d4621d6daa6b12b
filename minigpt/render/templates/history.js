// What the models of a training expected, a frame for each: a slider, and a button that plays them.
views.history = (section, { after, tokens, frames }) => {
  const find = (selector) => section.querySelector(selector);
  const [when, play] = [find(".when"), find(".play")];
  const most = Math.max(...frames.flatMap(({ shares }) => shares));
  let timer = null;

  const rows = tokens.map((text) => {
    const [bar, share, rank] = [element("span", { class: "bar" }), element("td"), element("td")];
    const label = element("th", { scope: "row", class: "label" }, [element("bdi", { text })]);
    return { bar, share, rank, row: element("tr", {}, [label, element("td", { class: "bars" }, [bar]), share, rank]) };
  });
  const names = ["token", "", "probability", "rank"].map((text) => element("th", { scope: "col", text }));
  find(".tracked").append(element("thead", {}, [element("tr", {}, names)]), element("tbody", {}, rows.map(({ row }) => row)));
  find(".prompt").textContent = after;
  find(".after").hidden = !after;

  function show(n) {
    const { step, final, bitsPerByte, entropy, divergence, shares, ranks } = frames[n];
    const name = final ? `final, step ${step.toLocaleString("en")}` : `step ${step.toLocaleString("en")}`;
    when.value = n;
    when.setAttribute("aria-valuetext", name);
    find(".step").textContent = name;
    find(".numbers").textContent = [
      bitsPerByte === null ? "" : `validation ${bitsPerByte.toFixed(3)} bits per byte`,
      `entropy ${entropy.toFixed(2)} bits`, `divergence ${divergence.toFixed(2)} bits`,
    ].filter(Boolean).join(" · ");
    rows.forEach(({ bar, share, rank }, i) => {
      bar.style.width = `${(100 * shares[i]) / most}%`;
      share.textContent = percent(shares[i]);
      share.dataset.share = shares[i];
      rank.textContent = ranks[i].toLocaleString("en");
    });
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "play";
  }

  function start() {
    const last = frames.length - 1;
    play.textContent = "pause";
    show(when.valueAsNumber === last ? 0 : when.valueAsNumber);
    timer = setInterval(() => {
      show(Math.min(last, when.valueAsNumber + 1));
      if (when.valueAsNumber === last) stop();
    }, 700);
  }

  play.addEventListener("click", () => (timer === null ? start() : stop()));
  when.addEventListener("input", () => {
    stop();
    show(when.valueAsNumber);
  });
  show(frames.length - 1);
};
