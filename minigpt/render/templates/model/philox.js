// The random numbers by which tokens are drawn: Philox 4x32-10, bit for bit those of sampling/philox.py.
//
// A number depends only on a seed and on a step, so there is no state to keep. docs/sample.md has the specification and
// test vectors. Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.
const Philox = (() => {
  const ROUNDS = 10;
  const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57];
  const WEYL = [0x9e3779b9, 0xbb67ae85]; // added to the key after each round

  // A uniform random number in [0, 1) of 53 bits. seed: a whole number below 2^64, as a Number or as a decimal string.
  // step: how many numbers were drawn before with this seed; below 2^32.
  function uniform(seed, step) {
    const [first, second] = words([step, 0, 0, 0], halves(seed));
    return ((first >>> 5) * 2 ** 26 + (second >>> 6)) / 2 ** 53;
  }

  // Four random words of 32 bits for a counter of four and a key of two such words.
  function words(counter, key) {
    let [c0, c1, c2, c3] = counter;
    let [k0, k1] = key;
    for (let round = 0; round < ROUNDS; round++) {
      const highA = high(MULTIPLIERS[0], c0), lowA = Math.imul(MULTIPLIERS[0], c0);
      const highB = high(MULTIPLIERS[1], c2), lowB = Math.imul(MULTIPLIERS[1], c2);
      [c0, c1, c2, c3] = [highB ^ c1 ^ k0, lowB, highA ^ c3 ^ k1, lowA];
      [k0, k1] = [k0 + WEYL[0] | 0, k1 + WEYL[1] | 0];
    }
    return Uint32Array.of(c0, c1, c2, c3); // which makes signed numbers unsigned
  }

  // The high 32 bits of a product of two 32-bit words, from their halves: none of these sums exceeds 32 bits.
  function high(a, b) {
    const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
    const middle = a1 * b0 + (a0 * b0 >>> 16);
    const crossed = a0 * b1 + (middle & 0xffff);
    return a1 * b1 + (middle >>> 16) + (crossed >>> 16);
  }

  // A seed as its low and its high 32 bits.
  function halves(seed) {
    const whole = BigInt(seed);
    return [Number(whole & 0xffffffffn), Number(whole >> 32n)];
  }

  return { uniform, words };
})();
