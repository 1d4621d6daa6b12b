// Text to ids and back: byte-level BPE with the ids of the tokenizers library. Knows nothing of the page.
//
// The description is that of minigpt/text/page_tokenizer.py. A text is cut at the names of added tokens, normalized, and
// cut into words by GPT-2's pattern; each word is merged from its bytes. A token's name spells its bytes in GPT-2's
// letters, so that the name of a merged token is those of its parts, joined.
const Tokenizer = (() => {
  const SPLIT =
    /'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
  const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u; // \w of the library
  const SPACE = /\p{White_Space}/u;
  const LETTERS = lettersOfBytes();
  const BYTES = new Map(LETTERS.map((letter, byte) => [letter, byte]));
  const PLACES = 2 ** 27; // in a queue of merges, an entry is rank * PLACES + place
  const LONGEST_KEPT = 64, MOST_KEPT = 20000; // words whose ids are remembered

  const utf8 = new TextEncoder();

  // Printable Latin-1 stands for itself, the other bytes for the letters from U+0100 on.
  function lettersOfBytes() {
    const isPrintable = (byte) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    let others = 0;
    return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : 256 + others++));
  }

  // Ranges of code points, given as gaps and lengths in turn, as a regular expression's class without its brackets.
  function classOf(ranges) {
    const escape = (codePoint) => `\\u{${codePoint.toString(16)}}`;
    let at = 0, text = "";
    for (let i = 0; i < ranges.length; i += 2) {
      const first = at + ranges[i];
      at = first + ranges[i + 1];
      text += `${escape(first)}-${escape(at - 1)}`;
    }
    return text;
  }

  // Added tokens by their texts, and the pattern that finds the first of them, the longest where several begin.
  function finder(tokens) {
    if (!tokens.length) return null;
    const texts = tokens.map(({ text }) => text).sort((a, b) => b.length - a.length);
    const pattern = texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
    return { pattern: new RegExp(pattern, "gu"), byText: new Map(tokens.map((token) => [token.text, token])) };
  }

  class Tokenizer {
    constructor(description) {
      const { names, ids, merges, added } = description;
      this.description = description;
      this.size = description.size;
      this.endOfText = description.endOfText;
      this.stops = description.stops;
      this.names = names; // a token's place among them is its number, by which it is merged
      this.ids = ids ?? names.map((_, number) => number);
      this.numbers = new Map(names.map((name, number) => [name, number]));
      this.ofBytes = LETTERS.map((letter) => this.numbers.get(letter) ?? -1);
      this.nameOfId = new Map(this.ids.map((id, number) => [id, names[number]]));
      this.added = new Map(added.map((token) => [token.id, token]));
      this.verbatim = finder(added.filter(({ isNormalized }) => !isNormalized));
      this.normalized = finder(added.filter(({ isNormalized }) => isNormalized));
      this.unassigned = new RegExp(`[${classOf(description.unassigned)}]`, "gu");
      this.normalizable = description.form && new RegExp(`[^${classOf(description.inert)}]+`, "gu");
      this.ranks = new Map(); // of the pair left * names.length + right
      this.made = new Array(merges.length / 2);
      for (let rank = 0; rank < this.made.length; rank += 1) {
        const left = merges[2 * rank], right = merges[2 * rank + 1];
        this.ranks.set(this.pair(left, right), rank);
        this.made[rank] = this.numbers.get(names[left] + names[right]);
      }
      this.kept = new Map();
    }

    // The ids of a text, without an end-of-text in front. What the vocabulary lacks is left out, or unknown: see `lost`.
    encode(text) {
      const ids = [];
      const read = text.replace(/\p{Surrogate}/gu, "\ufffd"); // half a surrogate pair is no character
      for (const part of this.divided(read, this.verbatim)) {
        if (part.id !== undefined) ids.push(part.id);
        else for (const { id, text: rest } of this.divided(this.normalize(part.text), this.normalized)) {
          if (id !== undefined) ids.push(id);
          else for (const word of this.words(rest)) for (const token of this.idsOf(word)) ids.push(token);
        }
      }
      return ids.filter((id) => id < this.size);
    }

    // What the model reads of a prompt; for an empty one, the id from which a text is generated.
    encodePrompt(text) {
      const ids = this.encode(text), { prefix } = this.description;
      return [...(ids.length || prefix.length ? prefix : [this.endOfText]), ...ids];
    }

    // The characters of a text for which there is no token.
    lost(text) {
      const read = this.normalize(text.replace(/\p{Surrogate}/gu, "\ufffd"));
      if (this.decode(this.encode(text)) === read) return "";
      return [...read].filter((character) => !this.decode(this.encode(character)).endsWith(character)).join("");
    }

    // The bytes that a token stands for, whatever its neighbours.
    bytes(id) {
      const name = this.added.get(id)?.name ?? this.nameOfId.get(id) ?? `<id ${id}>`;
      const letters = this.added.has(id) ? [] : [...name];
      const isSpelled = letters.length && letters.every((letter) => BYTES.has(letter));
      return isSpelled ? Uint8Array.from(letters, (letter) => BYTES.get(letter)) : utf8.encode(name);
    }

    // The text of some ids; invalid bytes become U+FFFD.
    decode(ids) {
      const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
      let text = "";
      for (const id of ids) text += decoder.decode(this.bytes(id), { stream: true });
      return text + decoder.decode();
    }

    // --- from a text to words

    // The added tokens in a text, as {id}, and what lies between them, as {text}.
    divided(text, tokens) {
      const parts = [];
      let end = 0; // of the last part
      for (const { 0: found, index } of tokens ? text.matchAll(tokens.pattern) : []) {
        const token = tokens.byText.get(found);
        let first = index, last = index + found.length;
        if (token.isSpecial && !this.description.readsSpecial) continue;
        if (token.isWord && (this.isWord(text.slice(0, first), -1) || this.isWord(text.slice(last), 0))) continue;
        if (token.takesLeft) {
          while (first > end && SPACE.test(text[first - 1])) first -= 1;
          first = Math.max(first, end);
        }
        if (token.takesRight) while (last < text.length && SPACE.test(text[last])) last += 1;
        if (first > end) parts.push({ text: text.slice(end, first) });
        parts.push({ id: token.id });
        end = last;
      }
      if (end < text.length) parts.push({ text: text.slice(end) });
      return parts;
    }

    // Whether the first (0) or the last (-1) character of a text belongs to a word.
    isWord(text, place) {
      const character = [...(place ? text.slice(-2) : text.slice(0, 2))].at(place) ?? "";
      return WORD.test(this.asKnown(character));
    }

    // The text with private characters, which are in no class, for those that are newer than the library.
    asKnown(text) {
      return text.replace(this.unassigned, (character) => (character.length === 1 ? "\ue000" : "\u{f0000}"));
    }

    normalize(text) {
      const { form } = this.description;
      return form ? text.replace(this.normalizable, (part) => part.normalize(form)) : text;
    }

    *words(text) {
      const { prefixSpace, isSplit } = this.description;
      const whole = prefixSpace && !text.startsWith(" ") ? ` ${text}` : text;
      if (!isSplit) yield whole;
      else for (const { 0: found, index } of this.asKnown(whole).matchAll(SPLIT)) yield whole.slice(index, index + found.length);
    }

    // --- from a word to ids

    idsOf(word) {
      let ids = this.kept.get(word);
      if (ids) return ids;
      ids = this.numbersOf(utf8.encode(word)).map((number) => this.ids[number]);
      if (word.length <= LONGEST_KEPT) {
        if (this.kept.size >= MOST_KEPT) this.kept.clear();
        this.kept.set(word, ids);
      }
      return ids;
    }

    numbersOf(bytes) {
      if (this.description.ignoresMerges) {
        const whole = this.numbers.get(Array.from(bytes, (byte) => LETTERS[byte]).join(""));
        if (whole !== undefined) return [whole];
      }
      return this.merge(this.spelled(bytes));
    }

    // The tokens of single bytes. One that the vocabulary lacks is unknown, or left out where nothing is.
    spelled(bytes) {
      const { unknown, fusesUnknown } = this.description;
      const numbers = [];
      let wasUnknown = false;
      for (const byte of bytes) {
        const number = this.ofBytes[byte], isUnknown = number < 0;
        if (!isUnknown) numbers.push(number);
        else if (unknown !== null && !(fusesUnknown && wasUnknown)) numbers.push(unknown);
        wasUnknown = isUnknown;
      }
      return numbers;
    }

    pair(left, right) {
      return left * this.names.length + right;
    }

    // Merge neighbours, the pair that was learned first first, and of equal ones the leftmost, until no pair is known.
    merge(numbers) {
      const next = numbers.map((_, place) => place + 1), before = numbers.map((_, place) => place - 1);
      const queue = [];
      const rankAt = (place) => (next[place] < numbers.length ? this.ranks.get(this.pair(numbers[place], numbers[next[place]])) : undefined);
      const offer = (place) => {
        const rank = place >= 0 ? rankAt(place) : undefined;
        if (rank !== undefined) push(queue, rank * PLACES + place);
      };
      numbers.forEach((_, place) => offer(place));
      while (queue.length) {
        const entry = pop(queue), place = entry % PLACES, made = this.made[Math.floor(entry / PLACES)];
        if (numbers[place] < 0) continue; // it has become a part of the one before
        const rank = rankAt(place);
        if (rank === undefined || this.made[rank] !== made) continue; // as in the library, any pair that makes the same
        const gone = next[place];
        numbers[place] = made;
        numbers[gone] = -1;
        next[place] = next[gone];
        if (next[place] < numbers.length) before[next[place]] = place;
        offer(before[place]);
        offer(place);
      }
      return numbers.filter((number) => number >= 0);
    }
  }

  // A binary heap of numbers, the smallest first.

  function push(heap, value) {
    let place = heap.length;
    while (place) {
      const above = (place - 1) >> 1;
      if (heap[above] <= value) break;
      heap[place] = heap[above];
      place = above;
    }
    heap[place] = value;
  }

  function pop(heap) {
    const smallest = heap[0], value = heap.pop();
    if (!heap.length) return smallest;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1] < heap[below]) below += 1;
      if (heap[below] >= value) break;
      heap[place] = heap[below];
      place = below;
    }
    heap[place] = value;
    return smallest;
  }

  return Tokenizer;
})();
