// How answers of tasks are shown: bars, coloured spans, boxes and masks on the picture, a player, text.
import { make } from "/page/base.js";

const MOST = 800; // pixels of a picture that is shown, to its longer side
const percent = (score) => `${(100 * score).toFixed(1)} %`;

// One colour for each label, in the order in which they are met.
export function palette() {
  const known = new Map();
  return (label) => {
    if (!known.has(label)) known.set(label, (known.size * 137.5 + 210) % 360);
    return known.get(label);
  };
}

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
}

export function bars(rows) {
  const box = make("div", "bars");
  for (const { label, score } of rows) {
    const bar = make("progress");
    bar.max = 1;
    bar.value = score;
    bar.setAttribute("aria-label", label);
    box.append(make("span", "name", label), bar, make("span", "value", percent(score)));
  }
  return box;
}

// A text with the found places marked; places are counted in characters, not in units of UTF-16.
export function spans(text, found) {
  const box = make("p", "marked"), letters = Array.from(text), colour = palette();
  let at = 0;
  for (const { start, end, label, score } of [...found].sort((a, b) => a.start - b.start)) {
    if (start < at || end <= start) continue;
    box.append(letters.slice(at, start).join(""));
    const mark = make("mark", "", letters.slice(start, end).join(""));
    mark.style.setProperty("--hue", colour(label));
    mark.title = `${label}, ${percent(score)}`;
    mark.append(make("span", "label", label));
    box.append(mark);
    at = end;
  }
  box.append(letters.slice(at).join(""));
  return box;
}

async function canvasOf(blob) {
  const picture = await createImageBitmap(blob);
  const scale = Math.min(1, MOST / Math.max(picture.width, picture.height));
  const canvas = make("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return { canvas, scale };
}

export const picture = async (blob) => (await canvasOf(blob)).canvas;

function legend(rows, colour) {
  const box = make("ul", "legend");
  for (const { label, score } of rows) {
    const told = score === undefined || score === null ? label : `${label} ${percent(score)}`;
    const entry = make("li", "", told);
    entry.style.setProperty("--hue", colour(label));
    box.append(entry);
  }
  return box;
}

export async function boxes(file, found) {
  const { canvas, scale } = await canvasOf(file), pen = canvas.getContext("2d"), colour = palette();
  pen.lineWidth = 3;
  pen.font = "14px system-ui";
  for (const { label, box } of found) {
    pen.strokeStyle = pen.fillStyle = `hsl(${colour(label)} 80% 45%)`;
    const [x, y] = [box.xmin * scale, box.ymin * scale];
    pen.strokeRect(x, y, (box.xmax - box.xmin) * scale, (box.ymax - box.ymin) * scale);
    pen.fillText(label, x + 4, y + 15);
  }
  return [canvas, legend(found, colour)];
}

export async function masks(file, found) {
  const { canvas } = await canvasOf(file), pen = canvas.getContext("2d"), colour = palette();
  for (const { label, mask } of found) {
    const layer = new OffscreenCanvas(canvas.width, canvas.height), own = layer.getContext("2d");
    const drawn = await createImageBitmap(new Blob([bytesOf(mask)], { type: "image/png" }));
    own.drawImage(drawn, 0, 0, canvas.width, canvas.height);
    const pixels = own.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4) pixels.data[i + 3] = pixels.data[i] > 127 ? 120 : 0;
    own.putImageData(pixels, 0, 0);
    own.globalCompositeOperation = "source-in";
    own.fillStyle = `hsl(${colour(label)} 90% 50%)`;
    own.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(layer, 0, 0);
  }
  return [canvas, legend(found, colour)];
}

export function player(blob) {
  const made = make("audio");
  made.controls = true;
  made.src = URL.createObjectURL(blob);
  return made;
}
