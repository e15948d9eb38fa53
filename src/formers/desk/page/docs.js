// Draws the OpenAPI description. FastAPI's own page fetches scripts from elsewhere; this one works offline.
const schema = await (await fetch("/openapi.json")).json();

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== undefined && child !== ""));
  return element;
}

const plain = (text) => (text || "").replaceAll("`", "");
const named = (reference) => schema.components.schemas[reference.split("/").pop()];

function kind(part) {
  if (!part) return "";
  if (part.$ref) return part.$ref.split("/").pop();
  if (part.anyOf) return part.anyOf.map(kind).join(" or ");
  if (part.enum) return part.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (part.type === "array") return `list of ${kind(part.items)}`;
  return part.type || "any";
}

function table(rows) {
  const body = make("tbody");
  for (const [name, type, text] of rows) {
    body.append(make("tr", "", make("th", "mono", name), make("td", "mono", type), make("td", "", plain(text))));
  }
  return make("table", "", body);
}

function fields(part) {
  const records = (part.anyOf || [part]).map((choice) => (choice.$ref ? named(choice.$ref) : choice));
  return records.flatMap((record) =>
    Object.entries(record.properties || {}).map(([name, field]) => [
      (record.required || []).includes(name) ? `${name} *` : name,
      kind(field),
      field.description,
    ]));
}

function operation(path, method, entry) {
  const box = make("details", "operation");
  box.append(make("summary", "",
    make("span", "method", method.toUpperCase()),
    make("span", "mono", path),
    make("span", "quiet", entry.summary)));
  for (const paragraph of (entry.description || "").split("\n\n")) {
    if (paragraph) box.append(make("p", "", plain(paragraph)));
  }
  if (entry.parameters) {
    box.append(make("h3", "", "Parameters"));
    box.append(table(entry.parameters.map((one) => [one.name, kind(one.schema), one.description || `in ${one.in}`])));
  }
  const body = entry.requestBody?.content["application/json"]?.schema;
  if (body) box.append(make("h3", "", "Body"), table(fields(body)));
  const rows = Object.entries(entry.responses).map(([status, response]) => [
    status, kind(response.content?.["application/json"]?.schema), response.description,
  ]);
  box.append(make("h3", "", "Answers"), table(rows));
  const good = entry.responses["200"]?.content?.["application/json"]?.schema;
  const shown = good ? fields(good) : [];
  if (shown.length) box.append(make("h3", "", "Fields of the answer"), table(shown));
  return box;
}

const EXAMPLES = {
  "/classify": { text: "Card charged twice" },
  "/v1/completions": { model: "NAME", prompt: "Once upon a time" },
  "/v1/embeddings": { model: "NAME", input: "Card charged twice" },
};
const [asked, example] = Object.entries(EXAMPLES).find(([path]) => schema.paths[path]);
document.querySelector("#curl").textContent =
  `curl ${location.origin}${asked} -H 'Content-Type: application/json' -d '${JSON.stringify(example)}'`;
const list = document.querySelector("#operations");
for (const [path, methods] of Object.entries(schema.paths)) {
  for (const [method, entry] of Object.entries(methods)) list.append(operation(path, method, entry));
}
list.querySelector("details")?.setAttribute("open", "");
