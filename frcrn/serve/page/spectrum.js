// From sound to levels: a discrete Fourier transform, and the rows of a picture on the mel scale.

/** Transform (re, im) in place; the length is a power of two. */
export class Fourier {
  constructor(length) {
    this.length = length;
    this.cos = Float64Array.from({ length: length / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / length));
    this.sin = Float64Array.from({ length: length / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / length));
    const bits = Math.log2(length);
    this.swapped = Uint32Array.from({ length }, (_, i) => {
      let other = 0;
      for (let bit = 0; bit < bits; bit++) if (i & (1 << bit)) other |= 1 << (bits - 1 - bit);
      return other;
    });
  }

  transform(re, im) {
    const { length, cos, sin, swapped } = this;
    for (let i = 0; i < length; i++) {
      const j = swapped[i];
      if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
    }
    for (let half = 1; half < length; half *= 2) {
      const step = length / (2 * half);
      for (let start = 0; start < length; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const a = start + k, b = a + half, c = cos[k * step], s = sin[k * step];
          const x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
          re[b] = re[a] - x, im[b] = im[a] - y;
          re[a] += x, im[a] += y;
        }
      }
    }
  }
}

/** Adds up the power of windowed frames; a full-scale sine has a power of 1 in its bin. */
export class Spectrum {
  constructor(rate) {
    this.size = 2 ** Math.round(Math.log2(rate * 0.04)); // 32 ms at 16 kHz, 43 ms at 48 kHz
    this.fourier = new Fourier(this.size);
    const hann = (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / this.size);
    this.window = Float64Array.from({ length: this.size }, hann);
    this.re = new Float64Array(this.size);
    this.im = new Float64Array(this.size);
    this.power = new Float64Array(this.size / 2);
  }

  clear() {
    this.power.fill(0);
  }

  /** Add `share` of the power of the frame at `start`; of many channels the first two count, one as imaginary part. */
  add(channels, start, share) {
    const { size, window, re, im, power } = this, [left, right] = channels;
    for (let i = 0; i < size; i++) {
      re[i] = left[start + i] * window[i];
      im[i] = right ? right[start + i] * window[i] : 0;
    }
    this.fourier.transform(re, im);
    const scale = (8 * share) / (size * size * (right ? 2 : 1));
    for (let k = 0; k < size / 2; k++) {
      const other = (size - k) % size;
      power[k] += scale * (re[k] ** 2 + im[k] ** 2 + re[other] ** 2 + im[other] ** 2);
    }
  }
}

export const toMel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
export const fromMel = (mel) => 700 * (10 ** (mel / 2595) - 1);

/** Return a function from powers of bins to the level in dB of each row, the highest frequency first. */
export function rows(rate, bins, height) {
  const top = toMel(rate / 2), scale = (2 * bins) / rate;
  const edge = (y) => fromMel((top * (height - y)) / height) * scale;
  const ranges = Array.from({ length: height }, (_, y) => [edge(y + 1), edge(y)]);
  return (power, out) => {
    ranges.forEach(([low, high], y) => {
      let value = 0;
      if (high - low < 1.5) {
        const middle = Math.min(bins - 1, (low + high) / 2), bin = Math.floor(middle);
        const next = power[Math.min(bins - 1, bin + 1)];
        value = power[bin] + (middle - bin) * (next - power[bin]);
      } else {
        for (let bin = Math.floor(low); bin < Math.min(bins, high); bin++) value = Math.max(value, power[bin]);
      }
      out[y] = 10 * Math.log10(value + 1e-14);
    });
  };
}
