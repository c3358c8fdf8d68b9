// The recordings of this page: each is sent, waited for and kept, a few at a time.
import * as service from "./service.js";

const AT_ONCE = 2;
const wait = (milliseconds) => new Promise((good) => setTimeout(good, milliseconds));

/** One recording, and what became of it; `own` is the address of one that was made here. */
export class Recording {
  constructor(file, name, own) {
    Object.assign(this, { file, name, own, state: "waiting", progress: 0 });
    Object.assign(this, { error: null, job: null, levels: null, run: null });
  }

  get busy() {
    return ["waiting", "sending", "queued", "running"].includes(this.state);
  }
}

export class Queue extends EventTarget {
  constructor() {
    super();
    this.recordings = [];
    this.free = AT_ONCE;
    this.waiting = [];
  }

  add(file, name, settings, own) {
    const recording = new Recording(file, name, own);
    this.recordings.push(recording);
    this.enhance(recording, settings);
    return recording;
  }

  /** Keep in the list what is not sent at all; `why` returns the reason in the language chosen. */
  refuse(name, why, own) {
    const error = { get message() { return why(); } };
    const run = new AbortController();
    this.recordings.push(Object.assign(new Recording(null, name, own), { state: "failed", error, run }));
    this.set(this.recordings.at(-1), {});
  }

  /** Have a recording enhanced, or once more with other settings; the earlier result stays until then. */
  async enhance(recording, settings) {
    recording.run?.abort();
    const run = (recording.run = new AbortController());
    this.set(recording, { state: "waiting", progress: 0, error: null });
    await this.slot();
    try {
      if (!run.signal.aborted) await this.process(recording, settings, run.signal);
    } catch (error) {
      if (!run.signal.aborted) this.set(recording, { state: "failed", error });
    } finally {
      this.release();
    }
  }

  async process(recording, settings, signal) {
    const job = await this.submit(recording, settings, signal);
    if (signal.aborted) return service.free(job);
    signal.addEventListener("abort", () => recording.job !== job && service.free(job));
    for (;;) {
      const now = await service.state(job);
      if (signal.aborted) return undefined;
      if (now.state === "failed" || now.state === "cancelled") {
        service.free(job);
        throw new service.Refused(0, now.error ?? now.state);
      }
      if (now.state === "done") return this.finish(recording, job, now.levels);
      this.set(recording, { state: now.state, progress: now.progress });
      await wait(250);
    }
  }

  /** Send a recording; where the service is busy, wait until it is not. */
  async submit(recording, settings, signal) {
    for (;;) {
      this.set(recording, { state: "sending", progress: 0 });
      const progress = (share) => this.set(recording, { progress: share });
      try {
        return await service.submit(recording.file, recording.name, settings, progress, signal);
      } catch (error) {
        if (!error.busy) throw error;
        this.set(recording, { state: "waiting", progress: 0 });
        await wait(2000);
        signal.throwIfAborted();
      }
    }
  }

  finish(recording, job, levels) {
    const before = recording.job;
    this.set(recording, { state: "done", progress: 1, job, levels });
    if (before) service.free(before);
  }

  /** Stop what is being done; an earlier result is there again. */
  cancel(recording) {
    recording.run.abort();
    this.set(recording, { state: recording.job ? "done" : "cancelled" });
  }

  remove(recording) {
    recording.run.abort();
    if (recording.job) service.free(recording.job);
    if (recording.own) URL.revokeObjectURL(recording.own);
    this.recordings.splice(this.recordings.indexOf(recording), 1);
    this.dispatchEvent(new Event("change"));
  }

  freeAll() {
    for (const recording of this.recordings) {
      recording.run.abort();
      if (recording.job) service.free(recording.job);
    }
  }

  set(recording, facts) {
    Object.assign(recording, facts);
    this.dispatchEvent(Object.assign(new Event("change"), { recording }));
  }

  async slot() {
    if (this.free > 0) this.free--;
    else await new Promise((good) => this.waiting.push(good));
  }

  release() {
    const next = this.waiting.shift();
    if (next) next();
    else this.free++;
  }
}
