// A tensor as the page holds it, base64 of float32, bfloat16, or int8 with a scale for each row -> a Float32Array.
const Weights = (() => {
  const READ = { float32, bfloat16, int8 };

  // The browser's own decoder where it has one (since 2025), and otherwise one by way of a string.
  function bytes(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text), result = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i += 1) result[i] = binary.charCodeAt(i);
    return result;
  }

  function float32(tensor) {
    return new Float32Array(bytes(tensor.data).buffer);
  }

  // bfloat16 is the upper half of a float32.
  function bfloat16(tensor) {
    const halves = new Uint16Array(bytes(tensor.data).buffer), words = new Uint32Array(halves.length);
    for (let i = 0; i < halves.length; i += 1) words[i] = halves[i] << 16;
    return new Float32Array(words.buffer);
  }

  function int8({ data, scales, shape }) {
    const numbers = new Int8Array(bytes(data).buffer), width = shape.at(-1);
    const of = new Float32Array(bytes(scales).buffer), result = new Float32Array(numbers.length);
    for (let row = 0, i = 0; row < of.length; row += 1) {
      for (const end = i + width; i < end; i += 1) result[i] = numbers[i] * of[row];
    }
    return result;
  }

  const unpacked = (tensors) => Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, READ[tensor.dtype](tensor)]));
  return { unpacked };
})();
