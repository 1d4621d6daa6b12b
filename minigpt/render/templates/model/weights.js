// A tensor as the page holds it, base64 of float32, bfloat16, or int8 with a scale for each row -> a Float32Array.
const Weights = (() => {
  const READ = { float32, bfloat16, int8 };

  function bytes(text) {
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
    for (let i = 0; i < numbers.length; i += 1) result[i] = numbers[i] * of[Math.floor(i / width)];
    return result;
  }

  const unpacked = (tensors) => Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, READ[tensor.dtype](tensor)]));
  return { unpacked };
})();
