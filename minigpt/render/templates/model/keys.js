// The keys of the page, those of `minigpt explore` where they make sense here.
//
// They work while the text or the list has the focus, and not while something is typed.
const Keys = (() => {
  const TYPED = "textarea, select, input:not([type=range])";

  function press(event, page) {
    if (event.target.closest(TYPED) || event.altKey || event.ctrlKey || event.metaKey) return;
    const isButton = event.target.closest("button:not(.take), summary, input");
    const action = ACTIONS[event.key === " " && event.shiftKey ? "Shift Space" : event.key];
    if (action && !(isButton && event.key === " ")) action(page);
    else if (/^[a-z]$/i.test(event.key)) {
      const filter = page.data.filters.find(({ key }) => key === event.key.toLowerCase());
      if (!filter) return;
      turn(page, filter, event.key !== event.key.toLowerCase());
    } else return;
    event.preventDefault();
  }

  const ACTIONS = {
    " ": (page) => page.change((state) => Branches.append(state, page.drawn())),
    "Shift Space": (page) => page.part("play").toggle(),
    "Escape": (page) => (page.part("play").isPlaying ? page.part("play").stop() : page.change({ at: null })),
    "Backspace": (page) => page.change((state) => Branches.move(state, state.added.length - 1)),
    "b": (page) => page.part("play").turn(1),
    "B": (page) => page.part("play").turn(-1),
    "g": (page) => page.part("game").open(),
    "h": (page) => page.change(({ scale }) => ({ scale: after(page.data.scales.map(({ key }) => key), scale) })),
  };

  function after(values, value) {
    return values[(values.indexOf(value) + 1) % values.length];
  }

  // The next of the values that the explorer's keys select; a 0 at the end is the most.
  function turn(page, { name, steps, neutral }, isMore) {
    const size = (value) => (value === 0 && steps.at(-1) === 0 ? Infinity : value);
    const now = size(page.state.settings[name] ?? neutral);
    const beyond = steps.filter((value) => (isMore ? size(value) > now : size(value) < now));
    if (beyond.length) page.setting(name, beyond.at(isMore ? 0 : -1));
  }

  return { press };
})();
