// What the pages share: asking the server, making elements, the state at the top.
export const find = (selector, root = document) => root.querySelector(selector);

export function stored(name) {
  try { return sessionStorage.getItem(name) || ""; } catch { return ""; }
}
export function store(name, value) {
  try { sessionStorage.setItem(name, value); } catch { /* private windows may refuse; the page works without */ }
}

// The server's answer, once it is known to be none of an error; its body is not read.
export async function ask(path, body, options = {}) {
  const headers = {};
  if (stored("key")) headers["X-API-Key"] = stored("key");
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      ...options,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new Error("The server cannot be reached."), { status: 0 });
  }
  if (response.ok) return response;
  const data = await response.json().catch(() => ({}));
  const { detail, error } = data;
  const said = error?.message || (Array.isArray(detail) ? detail.map((fault) => fault.msg).join("; ") : detail);
  throw Object.assign(new Error(said || `The server answered ${response.status}.`), { status: response.status, data });
}

export const call = async (path, body) => (await ask(path, body)).json().catch(() => ({}));

export function say(element, message) {
  element.textContent = message;
  element.hidden = !message;
}

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// Show the state of the server in its pill; the health that it told.
export async function showHealth() {
  const pill = find("#state");
  let health;
  try {
    health = await call("/health");
  } catch (error) {
    health = error.data && error.data.status ? error.data : { status: "unreachable" };
  }
  const looks = { ready: "good", starting: "warn", draining: "warn" };
  pill.className = `pill ${looks[health.status] || "bad"}`;
  pill.textContent = health.status;
  pill.title = health.problem || "";
  return health;
}
