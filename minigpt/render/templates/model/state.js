// The page's state as the fragment of an address, and back: `text=The%20cat&temperature=0.7&added=12.7`.
//
// Only what differs from the state at the start is written. A link may come from anywhere, from another model's page too:
// a field that makes no sense on this page is left out when it is read.
const State = (() => {
  const LONGEST = 20000; // characters of a text, tokens of a list
  const MOST_BRANCHES = 50;

  const whole = (text) => (/^\d{1,15}$/.test(text) ? Number(text) : NaN);
  const decimal = (text) => (/^-?\d+(\.\d+)?(e[-+]?\d+)?$/.test(text) ? Number(text) : NaN);
  const isCount = (value) => Number.isInteger(value) && value >= 0;
  const list = (text, separator) => (text === "" ? [] : text.split(separator));

  // How the values of a kind are written, with letters that are safe in an address, and read.
  const KINDS = {
    text: { write: escaped, read: decodeURIComponent },
    number: { write: String, read: whole },
    numbers: { write: (values) => values.join("."), read: (text) => list(text, ".").map(whole) },
    words: { write: (values) => values.map(escaped).join(","), read: (text) => list(text, ",").map(decodeURIComponent) },
    branches: { write: (values) => values.map(writtenBranch).join("!"), read: (text) => list(text, "!").map(branchOf) },
    other: { write: (value) => escaped(JSON.stringify(value)), read: (text) => JSON.parse(decodeURIComponent(text)) },
  };

  // Programs that find links in a text take some of these for its end.
  function escaped(text) {
    const letters = encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd"));
    return letters.replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
  }

  function writtenBranch([text, ids]) {
    return `${KINDS.numbers.write(ids)}~${escaped(text)}`;
  }

  function branchOf(written) {
    const at = written.indexOf("~");
    return [decodeURIComponent(written.slice(at + 1)), KINDS.numbers.read(written.slice(0, at))];
  }

  const KNOWN = {
    at: "number", chosen: "number", other: "text", branches: "branches", without: "words", added: "numbers", ahead: "numbers",
    removed: "numbers",
  };

  // The kind of a field, otherwise by what it holds at the start.
  function kindOf(name, value) {
    return KINDS[KNOWN[name] ?? { string: "text", number: "number" }[typeof value] ?? "other"];
  }

  // Whether each field may have a value, on this page.
  function checks({ config, filters, scales }) {
    const isToken = (id) => isCount(id) && id < config.vocabulary;
    const areTokens = (ids) => ids.length <= LONGEST && ids.every(isToken);
    const isText = (text) => text.length <= LONGEST;
    const isBranch = ([text, ids]) => isText(text) && areTokens(ids) && text.length + ids.length > 0;
    return {
      text: isText, other: isText, added: areTokens, ahead: areTokens,
      branches: (all) => all.length <= MOST_BRANCHES && all.every(isBranch),
      at: isCount, chosen: isToken, seed: (seed) => isCount(seed) && seed < 2 ** 32,
      without: (parts) => parts.every((part) => isPart(part, config)), to: (to) => to === "zero" || to === "mean",
      removed: (places) => places.length <= LONGEST && places.every(isCount),
      layer: (layer) => layer >= 1 && layer <= config.layers, head: (head) => head >= 1 && head <= config.heads,
      scale: (key) => scales.some((scale) => scale.key === key),
      rows: (rows) => ROWS.includes(rows), pace: (pace) => PACES.includes(pace),
      settings: (settings) => filters.every(({ name, ...spec }) => !(name in settings) || isSetting(settings[name], spec, isToken)),
    };
  }

  // Of a field without a check of its own, only the type is known.
  function isAlike(first) {
    return (value) => typeof value === typeof first && Array.isArray(value) === Array.isArray(first) && !Number.isNaN(value);
  }

  function isPart(part, { layers, heads }) {
    const [, layer, which] = /^(\d+)\.(\d+|mlp)$/.exec(part) ?? [];
    return layer >= 1 && layer <= layers && (which === "mlp" || (which >= 1 && which <= heads));
  }

  // Whether a filter takes a value: a number, or for biases, pairs of a token and a number.
  function isSetting(value, { least, most, above, counts, neutral }, isToken) {
    const isInside = (number) => Number.isFinite(number) && (above ? number > least : number >= least) && number <= most;
    if (!Array.isArray(neutral)) return isInside(value) && (!counts || Number.isInteger(value));
    const ids = value.map(([id]) => id);
    return new Set(ids).size === ids.length && ids.every(isToken) && value.every(([, amount]) => isInside(amount));
  }

  function settingOf(written, { neutral }) {
    if (!Array.isArray(neutral)) return decimal(written);
    return list(written, ",").map((pair) => pair.split(":")).map(([id, amount]) => [whole(id), decimal(amount)]);
  }

  function writtenSetting(value) {
    return Array.isArray(value) ? value.map((pair) => pair.join(":")).join(",") : String(value);
  }

  // The fields of a fragment, of those that `start` has, as far as they are sound.
  function read(hash, start, data) {
    const isSound = checks(data), fields = {};
    const settings = { ...start.settings };
    for (const part of hash.replace(/^#/, "").split("&").filter((each) => each.includes("="))) {
      const name = part.split("=", 1)[0], written = part.slice(name.length + 1);
      const spec = data.filters.find((each) => each.name === name);
      try {
        if (spec) {
          const value = settingOf(written, spec);
          if (isSound.settings({ [name]: value })) set(settings, spec, value);
        } else if (Object.hasOwn(start, name) && kindOf(name, start[name])) {
          const value = kindOf(name, start[name]).read(written);
          if ((isSound[name] ?? isAlike(start[name]))(value)) fields[name] = value;
        }
      } catch {
        // Half an escape: no page has written that.
      }
    }
    return { ...fields, settings };
  }

  // A setting that changes nothing is not kept.
  function set(settings, { name, neutral }, value) {
    if (JSON.stringify(value) === JSON.stringify(neutral)) delete settings[name];
    else settings[name] = value;
  }

  // The fragment of a state, without its #.
  function written(state, start, { filters }) {
    const isSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);
    const parts = [];
    for (const [name, value] of Object.entries(state)) {
      if (name === "settings" || value === null || isSame(value, start[name]) || value.length > LONGEST) continue;
      parts.push(`${name}=${kindOf(name, start[name]).write(value)}`);
    }
    for (const { name, neutral } of filters) {
      const value = state.settings[name] ?? neutral;
      if (!isSame(value, start.settings[name] ?? neutral)) parts.push(`${name}=${writtenSetting(value)}`);
    }
    return parts.join("&");
  }

  // Whether all of a state can be written.
  function isWhole(state) {
    return Object.values(state).every((value) => !(value?.length > LONGEST));
  }

  return { read, written, set, isWhole };
})();

const ROWS = [10, 20, 50, 0]; // of the list; 0 for all that are kept
const PACES = [0.5, 1, 2, 5, 10, 20, 50, 0]; // tokens per second; 0 for as fast as it can
