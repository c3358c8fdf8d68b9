// A spectrogram that moves to the left, and the level beside it.
const LOWEST = -110, HIGHEST = -25; // dB of the darkest and the brightest colour
const TOP = 12000; // Hz at the upper edge, or half of the sample rate where that is less
const SPEED = 2; // pixels a picture

const COLOURS = Array.from({ length: 256 }, (_, value) => {
  const x = value / 255, bump = (middle, width) => Math.max(0, 1 - ((x - middle) / width) ** 2);
  return [255 * Math.min(1, 1.6 * x ** 1.2), 255 * Math.max(0, 1.6 * x - 0.6), 255 * (0.75 * bump(0.4, 0.4) + 0.6 * Math.max(0, 4 * x - 3))];
});

/** Shows what passes through the analyser that `listen` makes. */
export class View {
  constructor(name) {
    this.canvas = document.getElementById(name);
    this.level = document.getElementById(`${name}-level`);
    this.meter = document.getElementById(`${name}-meter`);
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.draw = this.draw.bind(this);
  }

  listen(context) {
    const analyser = new AnalyserNode(context, { fftSize: 2048, smoothingTimeConstant: 0, minDecibels: LOWEST, maxDecibels: HIGHEST });
    this.bins = new Uint8Array(analyser.frequencyBinCount);
    this.wave = new Float32Array(analyser.fftSize);
    this.shown = (this.bins.length * Math.min(TOP, context.sampleRate / 2)) / (context.sampleRate / 2);
    this.analyser = analyser;
    cancelAnimationFrame(this.next);
    this.draw();
    return analyser;
  }

  draw() {
    if (this.analyser.context.state === "running") this.column();
    if (this.analyser.context.state !== "closed") this.next = requestAnimationFrame(this.draw);
  }

  column() {
    const { pen, analyser, bins, wave, canvas: { width, height } } = this;
    analyser.getByteFrequencyData(bins);
    const image = pen.createImageData(SPEED, height);
    for (let y = 0; y < height; y++) {
      const colour = COLOURS[bins[Math.floor((1 - (y + 1) / height) * this.shown)]];
      for (let x = 0; x < SPEED; x++) image.data.set([...colour, 255], 4 * (y * SPEED + x));
    }
    pen.drawImage(this.canvas, -SPEED, 0);
    pen.putImageData(image, width - SPEED, 0);
    analyser.getFloatTimeDomainData(wave);
    const power = wave.reduce((sum, x) => sum + x * x, 0) / wave.length, level = 10 * Math.log10(power + 1e-10);
    this.meter.value = level;
    this.level.textContent = level < -90 ? "silent" : `${level.toFixed(0)} dB`;
  }
}
