// The page of a roll-out: versions, their shares, latency and drift; how the shadow's answers differ.
import { call, find, make, say, showHealth, store } from "/page/base.js";

const REFRESH_MS = 2000;
const looks = { stable: "good", watch: "warn", drift: "bad" };

const share = (value) => `${(100 * value).toFixed(1)} %`;

function row(cells) {
  const made = make("tr");
  for (const cell of cells) {
    const box = make("td");
    box.append(cell);
    made.append(box);
  }
  return made;
}

function drift(found) {
  if (!found) return make("span", "quiet", "no baseline");
  const pill = make("span", `pill ${looks[found.verdict] || "plain"}`, found.verdict);
  const told = Object.entries(found.psi).map(([name, value]) => `${name} ${value ?? "unknown"}`);
  pill.title = told.join(", ");
  return pill;
}

function version(one) {
  const name = make("span", "mono", one.name);
  name.title = [one.hash, one.note].filter(Boolean).join(" · ");
  const times = ["p50", "p95", "p99"].map((each) => String(one.latency_ms[each] ?? ""));
  const part = one.stage === "past" || one.stage === "shadow" ? "" : share(one.share);
  return row([name, one.stage, part, String(one.requests), String(one.errors), ...times, drift(one.drift)]);
}

function showShadow(shadow) {
  find("#shadow").hidden = !shadow;
  if (!shadow) return;
  find("#shadow-told").textContent =
    `${shadow.version} against ${shadow.against}: ${shadow.compared} compared, ${shadow.alike} alike, ` +
    `${shadow.differ} differ, ${shadow.failed} with another status, ${shadow.dropped} not compared. ` +
    `Scores differ by ${shadow.mean_difference} on average, by ${shadow.largest_difference} at most.`;
  find("#moved").replaceChildren(...shadow.moved.map((one) => row([one.from, one.to, String(one.count)])));
}

async function refresh() {
  await showHealth();
  try {
    const told = await call("/rollout/state");
    find("#key-form").hidden = true;
    find("#registry").textContent = `${told.registry} · ${told.registry_revision}`;
    find("#versions").replaceChildren(...told.versions.map(version));
    showShadow(told.shadow);
    const events = told.history.map((one) => make("li", "", `${one.at} · ${one.did}`));
    find("#history").replaceChildren(...events);
    say(find("#loading"), told.loading.length ? `Loading ${told.loading.join(", ")} …` : "");
    say(find("#problem"), Object.entries(told.problems).map((pair) => pair.join(": ")).join("; "));
  } catch (error) {
    if (error.status === 401) find("#key-form").hidden = false;
    say(find("#problem"), error.message);
  }
}

find("#key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  store("key", find("#key").value);
  refresh();
});
await refresh();
setInterval(refresh, REFRESH_MS);
