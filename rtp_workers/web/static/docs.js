// The API's documentation, drawn from /openapi.json. It works offline, and you can try every call.
import { call, read, toast } from "/static/live.js";

const NOTHING = "There is no description: the service does not answer, or its token is missing. Reload the page to try again.";
const api = await read("/openapi.json");

function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

function resolve(schema) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.replace("#/", "").split("/").reduce((part, name) => part[name], api);
}

/** An example of what fits the schema: its own example where it has one. */
function example(given) {
  const schema = resolve(given);
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.length) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  const choice = schema.anyOf?.[0] ?? schema.allOf?.[0];
  if (choice) return example(choice);
  if (schema.type === "array") return [example(schema.items)];
  if (schema.type === "integer" || schema.type === "number") return schema.minimum ?? 0;
  if (schema.type === "boolean") return false;
  if (schema.properties) return Object.fromEntries(Object.entries(schema.properties).map(([name, part]) => [name, example(part)]));
  return schema.enum?.[0] ?? schema.const ?? "text";
}

/** One row for each field: name, type, meaning. */
function fields(given) {
  const schema = resolve(given);
  const inner = schema.properties ? schema : resolve(schema.anyOf?.[0] ?? schema.items);
  const rows = Object.entries(inner.properties ?? {}).map(([name, raw]) => {
    const part = resolve(raw);
    const types = (part.anyOf ?? [part]).map((one) => [resolve(one).type ?? resolve(one).title ?? ""].flat().join(" or "));
    const needed = inner.required?.includes(name) ? ", required" : "";
    return make("tr", {}, make("td", { textContent: name }), make("td", { className: "quiet", textContent: types.join(" or ") + needed }), make("td", { textContent: part.description ?? "" }));
  });
  return rows.length ? make("div", { className: "table" }, make("table", {}, ...rows)) : "";
}

function tryIt(method, path, operation) {
  const inputs = (operation.parameters ?? []).map((parameter) => {
    const input = make("input", { type: "text", name: parameter.name, placeholder: String(resolve(parameter.schema).default ?? "") });
    return { parameter, input, label: make("label", { className: "parameter" }, `${parameter.name} — ${parameter.description ?? ""}`, input) };
  });
  const schema = operation.requestBody?.content["application/json"].schema;
  const body = schema && make("textarea", { value: JSON.stringify(example(schema), null, 2), ariaLabel: "request body" });
  const answer = make("pre", { hidden: true });
  const button = make("button", { className: "primary", textContent: "Send" });
  button.onclick = async () => {
    const query = new URLSearchParams(inputs.filter((one) => one.input.value).map((one) => [one.parameter.name, one.input.value]));
    try {
      const got = await call(method, path + (query.size ? `?${query}` : ""), body?.value);
      const text = await got.text();
      answer.hidden = false;
      answer.textContent = `${got.status} ${got.statusText}\n\n${pretty(text)}`;
    } catch {
      toast("The service does not answer.");
    }
  };
  return [...inputs.map((one) => one.label), body ?? "", make("div", { className: "buttons" }, button), answer];
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function draw(method, path, operation) {
  const answers = Object.entries(operation.responses).map(([status, answer]) =>
    make("tr", {}, make("td", { textContent: status }), make("td", { textContent: answer.description })));
  const schema = operation.requestBody?.content["application/json"].schema;
  return make("details", { className: "card operation" },
    make("summary", {},
      make("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      make("span", { className: "path", textContent: path }),
      make("span", { className: "quiet", textContent: operation.summary ?? "" })),
    make("div", { className: "inside" },
      make("p", { className: "quiet", textContent: operation.description ?? "" }),
      schema ? fields(schema) : "",
      ...tryIt(method.toUpperCase(), path, operation),
      make("div", {}, make("h2", { textContent: "Answers" }), make("div", { className: "table" }, make("table", {}, ...answers)))));
}

function drawAll() {
  document.title = api.info.title;
  document.getElementById("title").textContent = api.info.title;
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("description").textContent = api.info.description;
  const groups = {};
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) (groups[operation.tags?.[0] ?? "other"] ??= []).push(draw(method, path, operation));
  }
  for (const [name, operations] of Object.entries(groups)) {
    document.getElementById("operations").append(make("h2", { className: "group", textContent: name }), ...operations);
  }
}

if (api) drawAll();
else document.getElementById("description").textContent = NOTHING;
