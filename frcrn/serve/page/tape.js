// Gives what comes from the microphone to the page, as an audio worklet.
registerProcessor("tape", class extends AudioWorkletProcessor {
  process([[channel]]) {
    if (channel) this.port.postMessage(channel.slice());
    return true;
  }
});
