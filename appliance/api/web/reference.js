/* The description of the API for people, made from openapi.json. */

import { $, make } from "./elements.js";
import { ask, setUpKey } from "./key.js";
import { text } from "./texts.js";

/* A schema in one line: the names of its members, or its type. */
export function outline(schema, components, depth = 0) {
  const found = schema?.$ref ? components[schema.$ref.split("/").at(-1)] : schema ?? {};
  const choices = found.anyOf ?? found.allOf;
  if (choices) return choices.map((each) => outline(each, components, depth)).join(" or ");
  if (found.type === "array") return `[ ${outline(found.items, components, depth)} … ]`;
  if (found.properties && depth < 3) {
    const members = Object.entries(found.properties).map(([name, each]) => {
      const optional = found.required?.includes(name) ? "" : "?";
      return `${name}${optional}: ${outline(each, components, depth + 1)}`;
    });
    return `{ ${members.join(", ")} }`;
  }
  const rule = found.type === "string" && found.description ? ` (${found.description})` : "";
  return found.const ?? found.enum?.join(" | ") ?? (found.type ? found.type + rule : "any");
}

/* The rows of an operation: what it takes, and what it answers. */
export function rows({ parameters, requestBody, responses, security }, components) {
  const [scopes] = Object.values(security?.[0] ?? {});
  const content = ({ content: kinds = {} }) => Object.entries(kinds).map(([kind, { schema }]) => `${kind}: ${outline(schema, components)}`);
  return [
    ["key", scopes ? scopes.join(" or ") || "any" : "none"],
    ...parameters.map(({ name, in: place, description = "", schema }) => [name, `${place}, ${outline(schema, components)}. ${description}`]),
    ...(requestBody ? content(requestBody).map((words) => ["body", words]) : []),
    ...Object.entries(responses).map(([status, response]) => [status, content(response).join("; ")]),
  ];
}

async function load() {
  const { ok, body } = await ask("/openapi.json");
  if (!ok) return;
  $("status").textContent = text("reference.version", { version: body.info.version });
  const operations = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })));
  $("operations").replaceChildren(...operations.map(({ path, method, operation }) => make("details", { className: "card" },
    make("summary", {}, make("code", {}, `${method} ${path}`), ` ${operation.summary}`),
    ...(operation.description === operation.summary ? [] : [make("p", {}, operation.description)]),
    make("dl", {}, ...rows(operation, body.components.schemas).flatMap(([name, words]) =>
      [make("dt", {}, name), make("dd", {}, words)])))));
}

if (globalThis.document) {
  setUpKey({ scopes: ["live"], locked() {}, opened: load, forgotten: load });
  load();
}
