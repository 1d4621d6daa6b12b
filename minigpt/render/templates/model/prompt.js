// The text, as it is typed and as the model reads it: cut into tokens, coloured by how expected each of them was.
parts.prompt = (() => {
  const PAUSE = 600; // milliseconds without typing, after which the end of the prompt is looked at
  const MOST = 2000; // tokens that are shown, of the end of the text

  // Of some elements in lines, the one above or below number `here`: on the next line, the nearest.
  function onNextLine(elements, here, direction) {
    const place = (i) => elements[i].getClientRects()[0];
    let best = here, line = null;
    for (let i = here + direction; i >= 0 && i < elements.length; i += direction) {
      const there = place(i);
      if (Math.abs(there.top - place(here).top) < place(here).height / 2) continue;
      line ??= there.top;
      if (Math.abs(there.top - line) > place(here).height / 2) break;
      const distance = (n) => Math.abs(place(n).left - place(here).left);
      if (best === here || distance(i) < distance(best)) best = i;
    }
    return best;
  }

  return class {
    constructor(root, page) {
      this.root = root;
      this.page = page;
      this.find = (selector) => root.querySelector(selector);
      this.input = this.find("textarea");
      this.input.addEventListener("input", () => {
        page.part("play").stop();
        page.change((state) => Branches.retype(state, this.input.value));
      });
      this.tokens = this.find(".tokens");
      this.scores = new Scores();
      this.makeTools();
      this.listen();
    }

    makeTools() {
      const { page } = this, select = this.find(".scale");
      select.append(...page.data.scales.map(({ key, name }) => element("option", { value: key, text: name })));
      select.addEventListener("change", () => page.change({ scale: select.value }));
      this.find(".pieces-of").addEventListener("toggle", () => this.showPieces());
    }

    listen() {
      const place = (event) => event.target.closest?.(".token")?.dataset.place;
      this.tokens.addEventListener("click", (event) => place(event) && this.look(Number(place(event))));
      this.tokens.addEventListener("focusin", (event) => place(event) && this.look(Number(place(event))));
      this.tokens.addEventListener("pointerover", (event) => place(event) && this.tell(Number(place(event))));
      this.tokens.addEventListener("pointerleave", () => this.tell(this.selected));
      this.tokens.addEventListener("keydown", (event) => this.key(event));
      this.tokens.addEventListener("scroll", () => this.noteScroll());
      this.root.addEventListener("keydown", (event) => Keys.press(event, this.page));
    }

    // The place of the token that is looked at; behind the last one, the question what comes next.
    get selected() {
      return this.page.state.at ?? this.page.ids.length;
    }

    // Looks at a token. One that is ahead is added again.
    look(place) {
      const { page } = this, length = page.ids.length, given = page.given.length;
      if (place > length) page.change((state) => ({ ...Branches.move(state, place - given), at: place - 1 }));
      else if (place !== this.selected) page.change({ at: place === length ? null : place });
    }

    key(event) {
      const shown = [...this.tokens.children], here = shown.findIndex((token) => Number(token.dataset.place) === this.selected);
      const last = shown.findIndex((token) => token.classList.contains("open"));
      const target = {
        ArrowRight: Math.min(here + 1, last), ArrowLeft: Math.max(here - 1, 0), Home: 0, End: last,
        ArrowDown: onNextLine(shown, here, 1), ArrowUp: onNextLine(shown, here, -1),
      }[event.key];
      if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      shown[Math.min(target, last)].focus();
    }

    show() {
      const { page } = this, { state } = page;
      if (this.input.value !== state.text) this.input.value = state.text;
      const lost = page.tokenizer.lost(state.text);
      this.find(".lost").hidden = !lost;
      this.find(".lost").textContent = `The vocabulary has no token for ${[...new Set(lost)].slice(0, 20).join(" ")}: left out.`;
      this.showBoundary();
      this.find(".window-note").textContent = `${page.windowNote()} A blue bar marks the first that it reads.`;
      this.find(".window-note").hidden = !page.windowNote();
      this.showTokens();
      this.colour();
      this.tell(this.selected);
      this.showPieces();
    }

    // What there is to say about the end of the prompt, once nobody is typing.
    showBoundary() {
      const { page } = this, { text } = page.state, note = this.find(".boundary");
      if (this.boundaryOf === text) return;
      this.boundaryOf = text;
      clearTimeout(this.pausing);
      note.hidden = true;
      note.dataset.done = "";
      this.pausing = setTimeout(() => {
        note.textContent = Boundary.note(page);
        note.hidden = !note.textContent;
        note.dataset.done = "true";
      }, PAUSE);
    }

    // How many tokens there are, and where they are from.
    count() {
      const { page } = this, { given, starts, state: { added } } = page, number = (many) => many.toLocaleString("en");
      const total = quantity(page.ids.length, "token"), typed = given.length - starts;
      if (!starts) return `${total}, of which ${number(typed)} in the prompt`;
      const begins = `${given.slice(0, starts).map((id) => page.label(id)).join(" ")}, which stands for the beginning of the text`;
      return [`${total}: ${begins}`, ...(typed ? [`${number(typed)} in the prompt`] : []), ...(added.length ? [`${number(added.length)} added`] : [])].join(" · ");
    }

    // Elements are used again, so that the focus stays where it is.
    showTokens() {
      const { page, tokens } = this, { ids, state: { ahead } } = page;
      const all = [...ids.map((id, place) => [id, place]), [null, ids.length], ...ahead.map((id, n) => [id, ids.length + 1 + n])];
      const first = Math.max(0, ids.length - MOST), shown = all.slice(first, first + 2 * MOST);
      while (tokens.children.length > shown.length) tokens.lastChild.remove();
      while (tokens.children.length < shown.length) tokens.append(element("span", { role: "option", tabindex: -1 }));
      shown.forEach(([id, place], n) => this.showToken(tokens.children[n], id, place));
      this.find(".unshown").hidden = !first;
      this.find(".unshown").textContent = `… ${quantity(first, "token")} before, not shown here`;
      this.reveal();
      if (tokens.contains(document.activeElement) && document.activeElement.getAttribute("aria-selected") !== "true") {
        tokens.querySelector("[aria-selected=true]")?.focus();
      }
    }

    // Scrolls to the token that is looked at, or to the question what comes next; a reader who has scrolled away from a
    // growing text is left there.
    reveal() {
      const { state } = this.page, last = this.revealed ?? {};
      const isGrown = last.text === state.text && last.at === state.at && last.added.length < state.added.length;
      const node = this.tokens.querySelector("[aria-selected=true]");
      this.revealed = state;
      if (!node || (isGrown && this.isAway)) return;
      const box = this.tokens.getBoundingClientRect(), place = node.getBoundingClientRect(), room = place.height / 2;
      if (place.bottom + room > box.bottom) this.tokens.scrollTop += place.bottom + room - box.bottom;
      else if (place.top - room < box.top) this.tokens.scrollTop -= box.top - place.top + room;
    }

    // Whether the reader has scrolled to where the selected token is not to be seen.
    noteScroll() {
      const box = this.tokens.getBoundingClientRect(), place = this.tokens.querySelector("[aria-selected=true]")?.getBoundingClientRect();
      this.isAway = Boolean(place) && (place.top >= box.bottom || place.bottom <= box.top);
    }

    showToken(node, id, place) {
      const { page, selected } = this, isSelected = place === selected, length = page.ids.length;
      const kind = place === length ? "open" : place > length ? "ahead" : place < page.given.length ? "given" : "added";
      const isFirst = place > 0 && place === page.model.windowStart(length);
      node.className = `token ${kind}${isSelected ? " shown" : ""}${isFirst ? " first-seen" : ""}`;
      node.setAttribute("aria-selected", isSelected);
      node.setAttribute("tabindex", isSelected ? 0 : -1);
      node.dataset.place = place;
      if (id === null) {
        node.textContent = " ? ";
        node.removeAttribute("title");
        node.removeAttribute("data-id");
      } else if (node.dataset.id !== String(id)) {
        node.textContent = page.shown(id);
        node.title = `${page.label(id)} · id ${id} · bytes ${page.bytes(id)}`;
        node.dataset.id = id;
      }
    }

    // As many tokens at once as do not keep the page waiting.
    colour() {
      clearTimeout(this.colouring);
      const isDone = this.scores.add(this.page, 25);
      const { key, limits, labels } = this.page.data.scales.find((scale) => scale.key === this.page.state.scale);
      this.find(".scale").value = key;
      for (const node of this.tokens.children) {
        const number = node.classList.contains("ahead") ? null : this.scores.known[node.dataset.place]?.[key];
        node.dataset.heat = number == null ? "unknown" : limits.filter((limit) => number >= limit).length;
      }
      this.find(".legend").replaceChildren(...labels.map((text, i) => element("li", { text, "data-heat": i })));
      this.tokens.dataset.coloured = isDone;
      if (!isDone) this.colouring = setTimeout(() => { this.colour(); this.tell(this.selected); this.showPieces(); }, 0);
    }

    // What is known of a token: of the one that is looked at, or pointed to.
    tell(place) {
      const { page } = this, id = page.ids[place], scores = this.scores.known[place];
      this.find(".about").textContent = id === undefined ? this.count() : [
        page.label(id), `token ${(place + 1).toLocaleString("en")}`, `id ${id}`, `bytes ${page.bytes(id)}`,
        ...(scores?.rank ? [`surprisal ${scores.surprisal.toFixed(2)} bits`, `rank ${scores.rank.toLocaleString("en")}`] : []),
      ].join(" · ");
    }

    showPieces() {
      if (!this.find(".pieces-of").open) return;
      const { page } = this, given = page.given.length, first = Math.max(0, page.ids.length - MOST);
      const names = ["", "token", "id", "bytes", "surprisal\nbits", "rank"].map((text) => element("th", { scope: "col", text }));
      const rows = page.ids.slice(first).map((id, n) => this.piece(id, first + n, first + n < given));
      this.find(".pieces").replaceChildren(element("thead", {}, [element("tr", {}, names)]), element("tbody", {}, rows));
    }

    piece(id, place, isGiven) {
      const { page } = this, { surprisal, rank } = this.scores.known[place] ?? {};
      return element("tr", { "class": isGiven ? "given" : "", "data-id": id }, [
        element("td", { text: (place + 1).toLocaleString("en") }),
        element("th", { scope: "row", class: "label" }, [element("bdi", { text: page.label(id) })]),
        element("td", { text: id }), element("td", { class: "bytes", text: page.bytes(id) }),
        element("td", { "text": surprisal?.toFixed(2) ?? "-", "data-bits": surprisal ?? "" }),
        element("td", { text: rank?.toLocaleString("en") ?? "-" }),
      ]);
    }
  };
})();
