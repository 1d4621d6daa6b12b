// Interim: GPT-2's byte-level BPE.
class Tokenizer {
  constructor({ tokens, merges, endOfText }) {
    this.tokens = tokens; // hexadecimal bytes
    this.ids = new Map(tokens.map((hex, id) => [hex, id]));
    this.ranks = new Map(merges.map((pair, rank) => [pair, rank]));
    this.endOfText = endOfText;
    this.stops = [endOfText];
    this.size = tokens.length;
  }

  encode(text) {
    const words = text.match(/'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu) ?? [];
    return words.flatMap((word) => this.word([...new TextEncoder().encode(word)].map((byte) => byte.toString(16).padStart(2, "0"))));
  }

  word(parts) {
    for (;;) {
      let best = Infinity, at = -1;
      for (let i = 0; i + 1 < parts.length; i += 1) {
        const rank = this.ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Infinity;
        if (rank < best) [best, at] = [rank, i];
      }
      if (at < 0) return parts.map((part) => this.ids.get(part));
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
  }

  encodePrompt(text) {
    const ids = this.encode(text);
    return ids.length ? ids : [this.endOfText];
  }

  bytes(id) {
    return Uint8Array.from(this.tokens[id].match(/../g), (byte) => parseInt(byte, 16));
  }

  decode(ids) {
    return new TextDecoder().decode(Uint8Array.from(ids.flatMap((id) => [...this.bytes(id)])));
  }
}
