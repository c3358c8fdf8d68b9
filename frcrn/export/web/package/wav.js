/** Return channels of samples from -1 to 1 as a 16-bit wav file. */
export function wav(channels, rate) {
  const count = channels.length, length = channels[0].length, size = 2 * count * length;
  const view = new DataView(new ArrayBuffer(44 + size));
  const text = (at, words) => [...words].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"), view.setUint32(4, 36 + size, true), text(8, "WAVEfmt ");
  view.setUint32(16, 16, true), view.setUint16(20, 1, true), view.setUint16(22, count, true);
  view.setUint32(24, rate, true), view.setUint32(28, 2 * count * rate, true);
  view.setUint16(32, 2 * count, true), view.setUint16(34, 16, true), text(36, "data"), view.setUint32(40, size, true);
  channels.forEach((samples, channel) => {
    for (let i = 0; i < length; i++) {
      const value = Math.max(-32768, Math.min(32767, Math.round(32768 * samples[i])));
      view.setInt16(44 + 2 * (i * count + channel), value, true);
    }
  });
  return new Blob([view], { type: "audio/wav" });
}
