// Interim: no Philox yet.
const Philox = { uniform: (seed, step) => ((Math.imul(Number(seed) + 1, 2654435761) ^ Math.imul(step + 1, 40503)) >>> 0) / 2 ** 32 };
