// The page of a model that writes: a chat, streamed. No library, no network but this server.
import { ask, call, find, make, say, showHealth, store } from "/page/base.js";

const REFRESH_MS = 5000;
const NEAR = 80; // pixels from the end of the page within which it follows the answer
const PLAIN_TOKENS = 128; // of a text that is gone on with, unless said

const state = { model: null, messages: [], answering: null };

// --- the state of the server ---

async function refresh() {
  const health = await showHealth();
  const waits = !find("#key-form").hidden;
  if (!state.model && !waits && health.status !== "unreachable") await loadModel();
}

async function loadModel() {
  try {
    const list = await call("/v1/models");
    state.model = list.data[0];
  } catch (error) {
    return failed(error);
  }
  const { id, chats, max_tokens: most } = state.model;
  find("#name").textContent = id;
  find("#most").max = most;
  find("#plain").hidden = chats;
  find("#system-field").hidden = !chats;
  find("#title").textContent = chats ? "Chat" : "Go on with a text";
  find("#text-label").textContent = chats ? "Message" : "Text";
  say(find("#problem"), "");
}

function failed(error) {
  if (error.status === 401) {
    find("#key-form").hidden = false;
    find("#key").focus();
  }
  say(find("#problem"), error.message);
}

// --- one answer ---

function request(text) {
  const { id, chats } = state.model;
  const body = { model: id, stream: true, stream_options: { include_usage: true } };
  const [temperature, most] = [find("#temperature").value, find("#most").value];
  if (temperature) body.temperature = Number(temperature);
  if (most) body.max_tokens = Number(most);
  if (!chats) return ["/v1/completions", { max_tokens: PLAIN_TOKENS, ...body, prompt: text }];
  const system = find("#system").value.trim();
  const first = system ? [{ role: "system", content: system }] : [];
  return ["/v1/chat/completions", { ...body, messages: [...first, ...state.messages] }];
}

// The objects of a stream of server-sent events.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.slice("data: ".length);
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}

function draw(role, text) {
  const item = make("li", `message ${role}`);
  const who = role === "user" ? "You" : state.model.id;
  item.append(make("span", "who", who), make("p", "said", text), make("p", "quiet meta", ""));
  find("#messages").append(item);
  toEnd();
  return item;
}

const page = document.documentElement;
const toEnd = () => page.scrollTo(0, page.scrollHeight);

// Write an answer into `item` as it comes; what it came to.
async function write(item, path, body, signal) {
  const said = find(".said", item);
  const answer = { text: "", tokens: 0, seconds: 0, reason: "" };
  let first = 0;
  try {
    for await (const event of events(await ask(path, body, { signal }))) {
      if (event.usage) answer.tokens = event.usage.completion_tokens;
      const choice = event.choices[0];
      if (!choice) continue;
      answer.reason = choice.finish_reason || answer.reason;
      const piece = choice.delta ? choice.delta.content : choice.text;
      if (!piece) continue;
      const now = performance.now();
      first ||= now;
      answer.seconds = (now - first) / 1000;
      answer.tokens += 1; // until the usage says how many there were
      answer.text += piece;
      const follows = page.scrollHeight - page.scrollTop - page.clientHeight < NEAR;
      said.append(piece);
      find(".meta", item).textContent = count(answer);
      if (follows) toEnd();
    }
  } catch (error) {
    if (error.name !== "AbortError") throw Object.assign(error, { answer });
    answer.reason = "stopped";
  }
  return answer;
}

const REASONS = { length: " · cut at the most tokens", stopped: " · stopped" };

function count({ tokens, seconds, reason }) {
  const speed = seconds > 0 && tokens > 1 ? ` · ${((tokens - 1) / seconds).toFixed(1)} tokens/s` : "";
  return `${tokens} ${tokens === 1 ? "token" : "tokens"}${speed}${REASONS[reason] || ""}`;
}

async function send(event) {
  event.preventDefault();
  const text = find("#text").value;
  if (state.answering || !state.model || !text.trim()) return;
  say(find("#problem"), "");
  find("#text").value = "";
  const asked = { role: "user", content: text };
  state.messages.push(asked);
  const mine = draw("user", text);
  const item = draw("assistant", "");
  const turn = new AbortController();
  busy(turn);
  try {
    const answer = await write(item, ...request(text), turn.signal);
    if (turn.forgotten) return;
    find(".meta", item).textContent = count(answer);
    find("#status").textContent = answer.reason === "stopped" ? "Stopped." : "Answered.";
    state.messages.push({ role: "assistant", content: answer.text });
  } catch (error) {
    if (turn.forgotten) return;
    // nothing was answered: the message goes back to where it can be sent again
    state.messages.pop();
    mine.remove();
    if (!error.answer || !error.answer.text) item.remove();
    find("#text").value = text;
    find("#status").textContent = "";
    failed(error);
  } finally {
    if (!turn.forgotten) busy(null);
  }
}

function busy(turn) {
  state.answering = turn;
  find("#send").disabled = Boolean(turn);
  find("#stop").hidden = !turn;
  find("#messages").setAttribute("aria-busy", String(Boolean(turn)));
  if (turn) find("#status").textContent = "Answering…";
  else if (document.activeElement === document.body || document.activeElement === find("#stop")) find("#text").focus();
}

function stop() {
  if (state.answering) state.answering.abort();
}

function begin() {
  if (state.answering) {
    state.answering.forgotten = true;
    stop();
    busy(null);
  }
  state.messages = [];
  find("#messages").replaceChildren();
  say(find("#problem"), "");
  find("#status").textContent = "";
  find("#text").focus();
}

find("#ask").addEventListener("submit", send);
find("#text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  find("#ask").requestSubmit();
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
find("#stop").addEventListener("click", stop);
find("#new").addEventListener("click", begin);
find("#key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  store("key", find("#key").value);
  say(find("#problem"), "");
  await loadModel();
  if (!state.model) return;
  find("#key-form").hidden = true;
  find("#text").focus();
});

await refresh().catch(failed);
setInterval(() => { if (!document.hidden) refresh().catch(() => {}); }, REFRESH_MS);
