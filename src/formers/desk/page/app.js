// The page: classify a text, and work the human queue. No library, no network but this server.
import { call, find, make, say, showHealth, store, stored } from "/page/base.js";

const LIMIT = 20;
const MOST = 500; // what the server gives at once
const REFRESH_MS = 5000;
const SHOWN_SCORES = 5;

const state = { status: "open", labels: [], limit: LIMIT, maxChars: 0, shown: new Map() };

const percent = (score) => `${(100 * score).toFixed(1)} %`;

function drawBars(box, scores) {
  box.replaceChildren();
  for (const { label, score } of scores.slice(0, SHOWN_SCORES)) {
    const bar = make("progress");
    bar.max = 1;
    bar.value = score;
    bar.setAttribute("aria-label", label);
    box.append(make("span", "name", label), bar, make("span", "value", percent(score)));
  }
}

// --- the state of the server ---

async function refreshState() {
  const health = await showHealth();
  if (!state.labels.length && health.status !== "unreachable") await loadModel();
}

async function loadModel() {
  const model = await call("/model");
  state.labels = model.labels;
  state.maxChars = model.max_chars;
  find("#revision").textContent = model.revision || "";
  find("#key-form").hidden = !model.needs_key;
  find("#export").hidden = model.needs_key; // a link cannot carry the key
  countCharacters();
}

// --- trying a text ---

function countCharacters() {
  const length = [...find("#text").value].length;
  const limit = state.maxChars ? ` of ${state.maxChars.toLocaleString("en")}` : "";
  find("#count").textContent = length ? `${length.toLocaleString("en")}${limit} characters` : "";
}

async function classify(event) {
  event.preventDefault();
  const answer = find("#answer");
  const button = find("#send");
  button.disabled = true;
  try {
    const result = await call("/classify", { text: find("#text").value, top_k: SHOWN_SCORES });
    answer.replaceChildren(...drawAnswer(result));
    if (result.needs_human) await refreshQueue();
  } catch (error) {
    answer.replaceChildren(make("p", "problem", error.message));
  } finally {
    button.disabled = false;
  }
}

function drawAnswer(result) {
  const verdict = make("div", "verdict");
  const bars = make("div", "bars");
  if (result.label !== null) {
    verdict.append(make("strong", "label", result.label), make("span", "quiet", percent(result.confidence)));
    drawBars(bars, result.scores);
  }
  if (result.needs_human) verdict.append(make("span", "pill warn", `a person decides · no. ${result.queue_id}`));
  else verdict.append(make("span", "pill good", "sure enough"));
  const cut = result.cut_tokens ? `, ${result.cut_tokens} more were cut off` : "";
  const tokens = result.tokens === null ? "" : `${result.tokens} tokens read${cut}`;
  return [verdict, bars, make("p", "quiet", tokens)];
}

// --- the queue ---

async function fetchQueue(status, limit) {
  const items = [];
  let page = { next: 0 };
  while (page.next !== null && items.length < limit) {
    const count = Math.min(limit - items.length, MOST);
    page = await call(`/queue?status=${status}&limit=${count}&after=${page.next}`);
    items.push(...page.items);
  }
  return { ...page, items };
}

async function refreshQueue() {
  const { status, limit } = state;
  const outdated = () => status !== state.status || limit !== state.limit;
  try {
    const page = await fetchQueue(status, limit);
    if (outdated()) return;
    say(find("#queue-problem"), "");
    find("#open-count").textContent = `${page.open} open`;
    drawItems(page.items);
    find("#more").hidden = page.next === null;
    find("#empty").hidden = page.items.length > 0;
  } catch (error) {
    if (!outdated()) say(find("#queue-problem"), error.message);
  }
}

// Items stay in place while somebody works on them: only new ones are drawn and settled ones removed.
function drawItems(items) {
  const list = find("#items");
  const wanted = new Set(items.map((item) => item.id));
  for (const [id, element] of state.shown) {
    if (!wanted.has(id)) {
      element.remove();
      state.shown.delete(id);
    }
  }
  for (const item of items) {
    if (!state.shown.has(item.id)) {
      const element = drawItem(item);
      state.shown.set(item.id, element);
      list.append(element);
    }
  }
}

const REASONS = { below_threshold: "not sure enough", timeout: "took too long", error: "the model failed" };

function drawItem(item) {
  const element = find("#item-template").content.firstElementChild.cloneNode(true);
  element.dataset.id = item.id;
  find(".number", element).textContent = `no. ${item.id}`;
  find(".reason", element).textContent = REASONS[item.reason] || item.reason;
  find("time", element).dateTime = item.created;
  find("time", element).textContent = new Date(item.created).toLocaleString();
  find(".text", element).textContent = item.text;
  drawBars(find(".bars", element), item.scores);
  const form = find(".decide", element);
  if (item.status === "resolved") {
    form.remove();
    const note = item.resolved_note ? ` – ${item.resolved_note}` : "";
    find(".decision", element).textContent = `${item.resolved_label}, decided by ${item.resolved_by}${note}`;
  } else {
    const select = find(".label", element);
    for (const label of state.labels) select.append(new Option(label, label, false, label === item.label));
    form.addEventListener("submit", (event) => resolve(event, item, element));
  }
  return element;
}

async function resolve(event, item, element) {
  event.preventDefault();
  const by = find("#by");
  if (!by.value.trim()) {
    say(find(".problem", element), "Say who decides: fill in your name above.");
    by.focus();
    return;
  }
  const button = find("button", element);
  button.disabled = true;
  try {
    await call(`/queue/${item.id}/resolve`, {
      label: find(".label", element).value,
      by: by.value.trim(),
      note: find(".note", element).value,
    });
    await refreshQueue();
  } catch (error) {
    say(find(".problem", element), error.message);
    button.disabled = false;
  }
}

function chooseStatus(event) {
  state.status = event.currentTarget.dataset.status;
  state.limit = LIMIT;
  for (const tab of document.querySelectorAll(".tabs button")) {
    tab.setAttribute("aria-pressed", String(tab === event.currentTarget));
  }
  state.shown.clear();
  find("#items").replaceChildren();
  refreshQueue();
}

find("#try").addEventListener("submit", classify);
find("#text").addEventListener("input", countCharacters);
find("#text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) find("#try").requestSubmit();
});
for (const tab of document.querySelectorAll(".tabs button")) tab.addEventListener("click", chooseStatus);
find("#more").addEventListener("click", () => {
  state.limit += LIMIT;
  refreshQueue();
});
find("#by").value = stored("by");
find("#by").addEventListener("change", (event) => store("by", event.target.value.trim()));
find("#key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  store("key", find("#key").value);
  refreshQueue();
});

async function refresh() {
  await refreshState().catch(() => {});
  await refreshQueue();
}
await refresh();
setInterval(() => { if (!document.hidden) refresh(); }, REFRESH_MS);
