// One page for every task: fields by the table of the server, answers as a person expects them.
import { ask, call, find, make, say, showHealth, store, stored } from "/page/base.js";
import { bars, boxes, bytesOf, masks, picture, player, spans } from "/page/answers.js";

const task = await call("/task");
const form = task.forms[0];
const readers = new Map(); // field -> a function that gives its value, or undefined
const files = new Map(); // field -> the file that was chosen or recorded
const talk = [];

const dataUrl = (file) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.onerror = () => failed(reader.error);
  reader.readAsDataURL(file);
});

// --- fields ---

function area(box, id, rows) {
  const made = make("textarea");
  made.id = id;
  made.rows = rows;
  box.append(made);
  return made;
}

function lines(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

function table(text) {
  const [head, ...rows] = lines(text).map((line) => line.split(",").map((cell) => cell.trim()));
  return Object.fromEntries(head.map((name, place) => [name, rows.map((row) => row[place] ?? "")]));
}

const accepts = { picture: "image/*", pictures: "image/*", sound: "audio/*", sounds: "audio/*", film: "video/*,image/gif" };

function fileField(box, id, name, kind) {
  const chosen = make("input");
  Object.assign(chosen, { type: "file", id, accept: accepts[kind] });
  const shown = make("div", "preview");
  const take = async (file) => {
    files.set(name, file);
    if (!file) shown.replaceChildren();
    else if (kind.startsWith("picture")) shown.replaceChildren(await picture(file));
    else if (kind.startsWith("sound")) shown.replaceChildren(player(file));
  };
  chosen.addEventListener("change", () => take(chosen.files[0]));
  box.append(chosen);
  if (kind.startsWith("sound") && navigator.mediaDevices && window.MediaRecorder) box.append(recorder(take));
  box.append(shown);
  readers.set(name, async () => (files.get(name) ? dataUrl(files.get(name)) : undefined));
}

function recorder(take) {
  const button = make("button", "record", "Record");
  button.type = "button";
  let recording = null;
  button.addEventListener("click", async () => {
    if (recording) {
      recording.stop();
      return;
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const parts = [];
      recording = new MediaRecorder(stream);
      recording.ondataavailable = (event) => parts.push(event.data);
      recording.onstop = () => {
        for (const track of stream.getTracks()) track.stop();
        take(new Blob(parts, { type: recording.mimeType.split(";")[0] }));
        recording = null;
        button.textContent = "Record";
      };
      recording.start();
      button.textContent = "Stop";
    } catch (error) {
      say(find("#problem"), `The microphone cannot be used: ${error.message}`);
    }
  });
  return button;
}

function field({ name, kind, optional }) {
  if (kind === "boxes") return; // words of a page: read from the picture
  const box = make("div", "field"), id = `field-${name || "inputs"}`;
  const label = make("label", "", `${name || kind}${optional ? " (optional)" : ""}`);
  label.htmlFor = id;
  box.append(label);
  if (accepts[kind]) fileField(box, id, name, kind);
  else {
    const text = area(box, id, kind === "text" || kind === "messages" ? 3 : 5);
    if (kind === "texts") text.placeholder = "One on each line";
    if (kind === "table") text.placeholder = "Name, Age\nAnna, 31";
    const read = { texts: lines, table, messages: (said) => [...talk, { role: "user", content: said }] }[kind];
    readers.set(name, () => (text.value.trim() ? (read || String)(text.value) : undefined));
  }
  find("#fields").append(box);
}

function neededField(name) {
  const box = make("div", "field"), label = make("label", "", name.replaceAll("_", " "));
  label.htmlFor = `needed-${name}`;
  box.append(label);
  const made = make("input");
  made.id = `needed-${name}`;
  made.required = true;
  made.placeholder = "one, another";
  box.append(made);
  find("#fields").append(box);
}

// --- asking ---

async function asked() {
  const given = {};
  for (const { name } of form.fields) {
    const value = readers.has(name) ? await readers.get(name)() : undefined;
    if (value !== undefined) given[name] = value;
  }
  const said = find("#parameters").value.trim();
  const parameters = said ? JSON.parse(said) : {};
  for (const name of task.needed) {
    parameters[name] = find(`#needed-${name}`).value.split(",").map((one) => one.trim()).filter(Boolean);
  }
  return { given, body: { inputs: "" in given ? given[""] : given, parameters } };
}

const file = () => [...files.values()].find(Boolean);
const each = (found) => (Array.isArray(found) ? found : [found]);
const flat = (found) => (Array.isArray(found) && Array.isArray(found[0]) ? found[0] : each(found));
const entity = (one) => ({ ...one, label: one.entity_group || one.entity });

const shows = {
  labels: (found) => [bars(flat(found).map((one) => ({ label: one.label ?? one.answer ?? one.token_str, score: one.score })))],
  spans: (found, given) => [spans(given[""], flat(found).map(entity))],
  answer: (found, given) => [
    make("p", "said", each(found)[0].answer),
    spans(given.context, each(found).slice(0, 1).map((one) => ({ ...one, label: "answer" }))),
  ],
  boxes: (found) => boxes(file(), each(found)),
  masks: (found) => masks(file(), found.masks
    ? found.masks.map((mask, place) => ({ label: `mask ${place + 1}`, score: found.scores?.[place], mask }))
    : each(found)),
  depth: async (found) => [await picture(new Blob([bytesOf(found.depth)], { type: "image/png" }))],
  text: (found) => flat(found).map((one) => make("p", "said", one.generated_text ?? one.translation_text ?? one.summary_text ?? one.text)),
  chat: (found) => {
    talk.splice(0, talk.length, ...found.messages);
    find("#field-messages").value = "";
    find("#messages").replaceChildren(...talk.map((one) => {
      const entry = make("li", `message ${one.role}`);
      entry.append(make("span", "who", one.role), make("p", "said", one.content));
      return entry;
    }));
    return [];
  },
  json: (found) => [make("pre", "", JSON.stringify(found, null, 1).slice(0, 20000))],
};

async function shown(response, given) {
  const kind = response.headers.get("content-type");
  if (kind.startsWith("audio/")) return [player(await response.blob())];
  if (kind.startsWith("image/")) return [await picture(await response.blob())];
  return (shows[task.shows] || shows.json)(await response.json(), given);
}

find("#ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  find("#send").disabled = true;
  say(find("#problem"), "");
  const started = performance.now();
  try {
    const { given, body } = await asked();
    find("#answer").replaceChildren(...await shown(await ask("/", body), given));
    find("#status").textContent = `${Math.round(performance.now() - started)} ms`;
  } catch (error) {
    if (error.status === 401) find("#key-form").hidden = false;
    find("#answer").replaceChildren();
    say(find("#problem"), error.message);
  } finally {
    find("#send").disabled = false;
  }
});

find("#key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  store("key", find("#key").value);
  find("#key-form").hidden = true;
});

find("#title").textContent = task.task.replaceAll("-", " ");
find("#name").textContent = task.name;
find("#known").textContent = task.parameters.length ? `This task takes ${task.parameters.join(", ")}.` : "This task takes none.";
find("#key-form").hidden = !task.needs_key || Boolean(stored("key"));
form.fields.forEach(field);
task.needed.forEach(neededField);
await showHealth();
