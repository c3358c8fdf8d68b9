// From quiet to loud: near black, indigo, purple, red, orange, pale yellow; as in the pictures of the library.
const ANCHORS = [[6, 6, 20], [45, 22, 95], [120, 30, 125], [195, 55, 95], [245, 130, 60], [252, 245, 190]];

/** Red, green and blue of a value from 0 to 1. */
export function colour(value) {
  const place = Math.min(0.99999, Math.max(0, value)) * (ANCHORS.length - 1), low = Math.floor(place);
  return ANCHORS[low].map((from, i) => Math.round(from + (place - low) * (ANCHORS[low + 1][i] - from)));
}

const PIXELS = new Uint32Array(256); // as an ImageData has them
const bytes = new Uint8Array(PIXELS.buffer);
for (let value = 0; value < 256; value++) bytes.set([...colour(value / 255), 255], 4 * value);

/** Make a picture of levels from 0 to 255. */
export function picture(levels, width, height) {
  const image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < levels.length; i++) pixels[i] = PIXELS[levels[i]];
  return image;
}

/** The scale as a gradient of a style sheet. */
export const gradient = `linear-gradient(90deg, ${ANCHORS.map((each) => `rgb(${each})`).join(", ")})`;
