// All that the page says, in English and Chinese.
const WORDS = {
  en: {
    title: "Remove noise from speech",
    lead: "Hear a recording before and after, and what was removed.",
    choose: "Choose files", record: "Record", stop: "Stop recording, {time}", example: "Example",
    drop: "Drop recordings here",
    limits: "Up to {megabytes} MB and {minutes} minutes each. They are deleted when you leave this page.",
    before: "Before", after: "After", removed: "Removed", hear: "What is played",
    play: "Play", pause: "Pause", position: "Position; + and − zoom, 0 shows all, 1 to 3 choose what is played",
    zoomIn: "Zoom in", zoomOut: "Zoom out", zoomAll: "Show all",
    inLevel: "Level before", outLevel: "Level after", removedLevel: "Removed",
    model: "Model", strength: "Strength", band: "Frequencies", full: "All", speech: "Up to 8 kHz", format: "Save as",
    source: "As the source", save: "Download", saveRemoved: "Download noise",
    saveOriginal: "Download original", saveOriginalOf: "Download {name} as it was recorded",
    recordings: "Recordings", waiting: "Waiting", sending: "Sending {percent} %", queued: "In the queue",
    running: "Cleaning {percent} %",
    done: "Done", cancelled: "Cancelled", failed: "Failed", cancel: "Cancel", remove: "Delete", again: "Try again",
    cancelOf: "Cancel {name}", removeOf: "Delete {name}", saveOf: "Download {name}, after",
    saveRemovedOf: "Download what was removed from {name}", againOf: "Try {name} again",
    tooLarge: "the file has {size} MB; accepted are at most {megabytes} MB",
    ready: "{name} is done.", recording: "Recording.", recorded: "Recording",
    noMicrophone: "The browser did not allow the microphone.",
    unsafe: "The microphone works only over https or at localhost.",
    away: "The service does not answer; is it still running?",
    spectrogram: "Spectrogram, {part}",
    other: "中文",
  },
  zh: {
    title: "去除语音中的噪声",
    lead: "对比录音处理前后的声音，并听一听去掉了什么。",
    choose: "选择文件", record: "录音", stop: "停止录音 {time}", example: "示例",
    drop: "把录音拖到这里", limits: "每个文件不超过 {megabytes} MB、{minutes} 分钟；离开本页后即被删除。",
    before: "处理前", after: "处理后", removed: "去除部分", hear: "播放内容",
    play: "播放", pause: "暂停", position: "位置；+ 与 − 缩放，0 显示全部，1 至 3 切换播放内容",
    zoomIn: "放大", zoomOut: "缩小", zoomAll: "显示全部",
    inLevel: "处理前电平", outLevel: "处理后电平", removedLevel: "去除",
    model: "模型", strength: "强度", band: "频率范围", full: "全部", speech: "8 kHz 以下", format: "保存格式",
    source: "与原文件相同", save: "下载", saveRemoved: "下载去除部分",
    saveOriginal: "下载原录音", saveOriginalOf: "下载未处理的 {name}",
    recordings: "录音列表", waiting: "等待中", sending: "上传 {percent} %", queued: "排队中", running: "处理中 {percent} %",
    done: "完成", cancelled: "已取消", failed: "失败", cancel: "取消", remove: "删除", again: "重试",
    cancelOf: "取消 {name}", removeOf: "删除 {name}", saveOf: "下载处理后的 {name}", saveRemovedOf: "下载从 {name} 去除的部分",
    againOf: "重试 {name}",
    tooLarge: "文件为 {size} MB，不得超过 {megabytes} MB",
    ready: "{name} 处理完成。", recording: "正在录音。", recorded: "录音",
    noMicrophone: "浏览器未允许使用麦克风。",
    unsafe: "仅在 https 或 localhost 下可以使用麦克风。",
    away: "服务没有响应，请确认它仍在运行。",
    spectrogram: "语谱图，{part}",
    other: "English",
  },
};
const KEY = "frcrn.language";

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // where storage is forbidden
  }
}

let language = remembered() ?? (navigator.language.startsWith("zh") ? "zh" : "en");

/** Return a sentence in the language chosen. */
export function say(key, values = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Put words where the page asks for them: data-say is the text, data-label what a screen reader and a hint say. */
export function translate() {
  document.documentElement.lang = language;
  document.title = say("title");
  for (const each of document.querySelectorAll("[data-say]")) each.textContent = say(each.dataset.say);
  for (const each of document.querySelectorAll("[data-label]")) {
    each.setAttribute("aria-label", say(each.dataset.label));
    if (each.tagName === "BUTTON") each.title = say(each.dataset.label);
  }
}

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // it is remembered until the page is left
  }
  translate();
}
