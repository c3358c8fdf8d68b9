// Plays one of several sounds of equal length, all on one clock, so that switching keeps the position to the sample.
const CHUNK = 0.5; // seconds
const AHEAD = 1.5; // seconds that are handed over before they are due
const FADE = 0.008; // seconds a switch takes, so that it does not click

/** All browsers play these rates; other sounds are resampled while they play. */
const rateFor = (rate) => Math.min(96000, Math.max(8000, rate));

export class Player extends EventTarget {
  constructor() {
    super();
    this.sounds = {};
    this.part = "after";
    this.playing = false;
    this.at = 0; // seconds, where it stands or where it began
  }

  /** Take the sounds of another recording, or of the same one made anew; `at` is where to stand, in seconds. */
  async load(sounds, at = 0) {
    const again = this.playing;
    await this.pause();
    const [first] = Object.values(sounds);
    if (rateFor(first.rate) !== this.context?.sampleRate) {
      this.context?.close();
      this.context = null;
    }
    this.sounds = sounds;
    [this.seconds, this.rate] = [first.seconds, first.rate];
    this.at = Math.min(at, this.seconds);
    this.changed();
    if (again) await this.play();
  }

  get position() {
    if (!this.playing || !this.began) return this.at;
    const late = this.context.outputLatency || 0;
    return Math.min(this.seconds, Math.max(this.at, this.at + this.context.currentTime - late - this.began));
  }

  async play() {
    if (this.playing || !this.seconds) return;
    if (this.at >= this.seconds - 0.01) this.at = 0;
    this.playing = true;
    const run = (this.run = {});
    this.context ??= new AudioContext({ sampleRate: rateFor(this.rate) });
    await this.context.resume();
    if (this.run !== run) return;
    this.prepare();
    this.changed();
    await this.feed(run);
  }

  /** Make a gain for each part; one of them lets sound through. */
  prepare() {
    const { context } = this;
    this.output = new GainNode(context);
    this.output.connect(context.destination);
    this.gains = {};
    for (const name of Object.keys(this.sounds)) {
      this.gains[name] = new GainNode(context, { gain: Number(name === this.part) });
      this.gains[name].connect(this.output);
    }
    this.began = null;
    this.given = 0;
  }

  async feed(run) {
    while (this.run === run) {
      const left = this.seconds - this.at - this.given;
      if (left <= 0 && this.position >= this.seconds - 0.005) return this.pause(this.seconds);
      if (left > 0 && (!this.began || this.began + this.given < this.context.currentTime + AHEAD)) await this.give(run);
      else await new Promise((good) => setTimeout(good, 50));
    }
  }

  /** Hand over the next piece of all sounds. */
  async give(run) {
    const { context, sounds, rate } = this, count = Math.round(CHUNK * rate);
    const from = Math.round((this.at + this.given) * rate), pieces = {};
    for (const name of Object.keys(sounds)) pieces[name] = await sounds[name].read(from, count);
    if (this.run !== run) return;
    const now = Math.ceil((context.currentTime + 0.03) * context.sampleRate) / context.sampleRate;
    this.began ??= now;
    const due = this.began + this.given, late = Math.max(0, now - due); // a busy machine loses sound, not the place
    for (const [name, channels] of Object.entries(pieces)) {
      const buffer = new AudioBuffer({ length: count, numberOfChannels: channels.length, sampleRate: rate });
      channels.forEach((samples, channel) => buffer.copyToChannel(samples, channel));
      const source = new AudioBufferSourceNode(context, { buffer });
      source.connect(this.gains[name]);
      if (late < CHUNK) source.start(due + late, late);
    }
    this.given += count / rate;
  }

  async pause(at = this.position) {
    this.at = at;
    if (!this.playing) return;
    this.playing = false;
    this.run = null;
    this.began = null;
    this.output?.disconnect();
    this.changed();
  }

  async seek(at) {
    const again = this.playing;
    await this.pause(Math.min(this.seconds, Math.max(0, at)));
    this.changed();
    if (again) await this.play();
  }

  /** Let another part be heard, without a break. */
  choose(part) {
    this.part = part;
    if (this.playing && this.gains) {
      const now = this.context.currentTime;
      for (const [name, { gain }] of Object.entries(this.gains)) {
        gain.cancelScheduledValues(now);
        gain.setTargetAtTime(Number(name === part), now, FADE / 3);
      }
    }
    this.changed();
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}
