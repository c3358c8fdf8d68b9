// What the page asks of the service.
const JOBS = new URL("v1/jobs", document.baseURI);

/** What the service refused, in its own sentence. */
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
    this.busy = status === 429 || status === 503;
  }
}

function sentence(text, status) {
  try {
    return JSON.parse(text).error ?? `${status}`;
  } catch {
    return `${status}`;
  }
}

async function ask(address, options) {
  const answer = await fetch(address, options);
  if (!answer.ok) throw new Refused(answer.status, sentence(await answer.text(), answer.status));
  return answer;
}

export const about = async () => (await ask("v1/models")).json();
export const example = async () => (await ask("v1/sample")).blob();
export const state = async (id) => (await ask(`${JOBS}/${id}`)).json();
export const free = (id) => fetch(`${JOBS}/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});
/** Where a part of a result is; of no format, the result has that which was asked for, and what was removed is a wav. */
export const address = (id, part, format) => `${JOBS}/${id}/audio?part=${part}${format ? `&format=${format}` : ""}`;
export const sound = async (id, part) => (await ask(address(id, part, "wav"))).blob();

/** Send a file with its settings; `progress` hears what share has left, `signal` ends it. Returns the job's id. */
export function submit(file, name, settings, progress, signal) {
  const form = new FormData();
  for (const [key, value] of Object.entries(settings)) form.append(key, value);
  form.append("file", file, name);
  const request = new XMLHttpRequest(); // as fetch does not tell how far an upload is
  return new Promise((good, bad) => {
    request.open("POST", JOBS);
    request.upload.onprogress = ({ loaded, total }) => progress(loaded / total);
    request.onload = () => {
      if (request.status < 300) good(JSON.parse(request.responseText).id);
      else bad(new Refused(request.status, sentence(request.responseText, request.status)));
    };
    request.onerror = () => bad(new TypeError("the connection ended"));
    request.onabort = () => bad(signal.reason);
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
