// Shows /openapi.json. Everything is made of text nodes, so that nothing in the document can become markup.
"use strict";

const at = (id) => document.getElementById(id);
const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
};

// Text with `code`, **bold** and lists by "- ", as descriptions have it.
const inline = (text) =>
  text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return make("strong", {}, part.slice(2, -2));
    return part;
  });
const prose = (text) =>
  (text ?? "").split("\n\n").filter(Boolean).map((block) => {
    const lines = block.split("\n");
    if (lines.every((line) => line.startsWith("- "))) {
      return make("ul", {}, ...lines.map((line) => make("li", {}, ...inline(line.slice(2)))));
    }
    return make("p", {}, ...inline(block));
  });

let api;
const resolve = (schema) => {
  const name = schema?.$ref?.split("/").pop();
  return name ? { name, ...api.components.schemas[name] } : (schema ?? {});
};

// What a value is, in a few words.
const kind = (given) => {
  if (given === true) return "anything";
  const schema = resolve(given);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const choice = schema.anyOf ?? schema.oneOf;
  if (choice) return choice.map(kind).join(" | ");
  const types = [schema.type ?? "anything"].flat().join(" | ");
  if (types.includes("array")) return `array of ${kind(schema.items ?? true)}`;
  const bounds = [
    ["minimum", "at least "], ["maximum", "at most "], ["exclusiveMinimum", "above "], ["minLength", "from "],
    ["maxLength", "to length "], ["minItems", "from "], ["maxItems", "to "], ["pattern", "like "], ["format", ""],
  ].filter(([key]) => schema[key] !== undefined).map(([key, word]) => word + schema[key]);
  return [schema.name && types === "object" ? schema.name : types, ...bounds].join(", ");
};

// The fields of a schema; schemas within it open on demand, so that one that holds itself has an end.
const fields = (given, depth = 0) => {
  const schema = resolve(given);
  const choice = schema.anyOf ?? schema.oneOf;
  if (choice) {
    const parts = choice.filter((one) => resolve(one).type !== "null");
    if (parts.length === 1) return fields(parts[0], depth);
    return make("ul", {}, ...parts.map((one) => make("li", {}, kind(one), fields(one, depth + 1))));
  }
  if ([schema.type].flat().includes("array")) return fields(schema.items ?? {}, depth);
  if (!schema.properties) return make("p", {}, make("code", {}, kind(given)));
  const list = make("dl");
  for (const [name, property] of Object.entries(schema.properties)) {
    const must = (schema.required ?? []).includes(name);
    list.append(make("dt", {}, name, " ", must ? make("span", { class: "must" }, "required") : ""));
    const inner = resolve(property);
    const about = make("dd", {}, make("code", {}, kind(property)), ...prose(property.description ?? inner.description));
    const nested = [inner, resolve(inner.items), ...(inner.anyOf ?? []).map(resolve)].some((one) => one?.properties || one?.oneOf);
    if (nested && depth < 6) {
      const more = make("details", {}, make("summary", {}, "fields"));
      more.addEventListener("toggle", () => more.childElementCount === 1 && more.append(fields(property, depth + 1)));
      about.append(more);
    }
    list.append(about);
  }
  return list;
};

const curl = (path, method, operation) => {
  let url = path;
  const query = [];
  for (const parameter of operation.parameters ?? []) {
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(parameter.example ?? parameter.name));
    if (parameter.in === "query" && parameter.example !== undefined) {
      for (const value of [parameter.example].flat()) query.push(`${parameter.name}=${encodeURIComponent(value)}`);
    }
  }
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${quote(location.origin + url + (query.length ? `?${query.join("&")}` : ""))}`];
  if (operation.security?.length) lines.push('-H "Authorization: Bearer $KEY"');
  for (const { name, example } of (operation.parameters ?? []).filter((parameter) => parameter.in === "header" && parameter.required)) {
    // What only the reader knows, such as the version that a change is meant for, is a variable like the key.
    lines.push(example === undefined ? `-H "${name}: $${name.toUpperCase().replaceAll("-", "_")}"` : `-H ${quote(`${name}: ${example}`)}`);
  }
  const [media, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (media && media !== "application/json") lines.push(`-H 'Content-Type: ${media}' --data-binary @FILE`);
  const example = Object.values(content?.examples ?? {})[0];
  if (example) lines.push(`-d ${quote(JSON.stringify(example.value))}`);
  return lines.join(" \\\n  ");
};

// Each call is filled when it is opened first: there are many.
const fill = (into, path, method, operation) => {
  into.append(...prose(operation.description));
  const parameters = operation.parameters ?? [];
  if (parameters.length) {
    into.append(make("h3", {}, "Parameters"), make("dl", {}, ...parameters.flatMap((parameter) => [
      make("dt", {}, parameter.name, ` (${parameter.in}) `, parameter.required ? make("span", { class: "must" }, "required") : ""),
      make("dd", {}, make("code", {}, kind(parameter.schema)), ...prose(parameter.description)),
    ])));
  }
  for (const [media, content] of Object.entries(operation.requestBody?.content ?? {})) {
    into.append(make("h3", {}, "Body: ", make("code", {}, media)), fields(content.schema));
    for (const [name, example] of Object.entries(content.examples ?? {})) {
      into.append(make("p", {}, `For example, ${name}:`), make("pre", { tabindex: "0" }, JSON.stringify(example.value, null, 2)));
    }
  }
  into.append(make("h3", {}, "With curl"), make("pre", { tabindex: "0" }, curl(path, method, operation)));
  into.append(make("h3", {}, "Answers"));
  for (const [status, given] of Object.entries(operation.responses)) {
    const answer = given.$ref ? api.components.responses[given.$ref.split("/").pop()] : given;
    const more = make("details", {}, make("summary", {}, make("strong", {}, status), " ", ...inline(answer.description.split("\n")[0])));
    more.append(...prose(answer.description.split("\n\n").slice(1).join("\n\n")));
    for (const [name, header] of Object.entries(answer.headers ?? {})) {
      more.append(make("p", {}, make("code", {}, name), ": ", ...inline(header.description)));
    }
    for (const [media, content] of Object.entries(answer.content ?? {})) {
      more.append(make("p", {}, make("code", {}, media)));
      if (media === "application/json") more.append(fields(content.schema));
      const codes = content.schema.properties?.code?.enum ?? [];
      more.append(make("dl", {}, ...codes.flatMap((code) => {
        const { meaning, remedy } = api["x-error-codes"][code];
        return [make("dt", {}, code), make("dd", {}, `${meaning} ${remedy}`)];
      })));
    }
    into.append(more);
  }
};

const calls = [];

// What a call can be found by: everything it says, and the codes and fields that it refers to.
const words = (method, path, operation) => {
  const seen = new Set();
  const gather = (value) => {
    if (Array.isArray(value)) return value.map(gather).join(" ");
    if (value === null || typeof value !== "object") return String(value);
    if (typeof value.$ref === "string" && !seen.has(value.$ref)) {
      seen.add(value.$ref);
      const [, , kind, name] = value.$ref.split("/");
      return gather(api.components[kind]?.[name]);
    }
    return Object.entries(value).map(([key, inner]) => `${key} ${gather(inner)}`).join(" ");
  };
  return gather([method, path, operation]).toLowerCase();
};

const show = () => {
  const main = at("calls");
  main.replaceChildren(...prose(api.info.description));
  for (const tag of api.tags) {
    const id = `chapter-${tag.name.replaceAll(" ", "-")}`;
    at("chapters").append(make("a", { href: `#${id}` }, tag.name));
    const section = make("section", { "aria-labelledby": id }, make("h2", { id }, tag.name), ...prose(tag.description));
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags[0] !== tag.name) continue;
        const inside = make("div", { class: "inside" });
        const call = make("details", { class: "call", id: operation.operationId },
          make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), make("span", { class: "path" }, path),
            make("span", { class: "says" }, operation.summary)), inside);
        call.addEventListener("toggle", () => {
          if (call.open && !inside.childElementCount) fill(inside, path, method, operation);
          if (call.open) history.replaceState(null, "", `#${operation.operationId}`);
        });
        section.append(call);
        calls.push({ element: call, section, roles: operation["x-roles"], text: words(method, path, operation) });
      }
    }
    main.append(section);
  }
  const codes = Object.entries(api["x-error-codes"]);
  const rows = codes.map(([code, of]) => {
    const row = make("tr", {}, make("td", {}, make("code", {}, code)), make("td", {}, of.status ? String(of.status) : "within"),
      make("td", {}, of.meaning), make("td", {}, of.remedy));
    return { element: row, roles: [], text: `${code} ${of.status} ${of.meaning} ${of.remedy}`.toLowerCase() };
  });
  const table = make("table", { class: "wide" }, make("thead", {}, make("tr", {}, ...["Code", "Status", "Meaning", "What to do"].map((name) => make("th", {}, name)))),
    make("tbody", {}, ...rows.map((row) => row.element)));
  const section = make("section", {}, make("h2", { id: "codes" }, "Codes"), make("p", {}, "“within” is a code of a field, row, event or line within an answer."), table);
  rows.forEach((row) => calls.push({ ...row, section, isCode: true }));
  at("chapters").append(make("a", { href: "#codes" }, "Codes"));
  main.append(section);
  const roles = new Set(calls.flatMap((call) => call.roles));
  at("role").append(...[...roles].map((role) => make("option", { value: role }, role)));
};

const find = () => {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const role = at("role").value;
  let shown = 0;
  const sections = new Map();
  for (const call of calls) {
    const fits = words.every((word) => call.text.includes(word)) && (!role || call.isCode || call.roles.includes(role));
    call.element.hidden = !fits;
    shown += fits && !call.isCode ? 1 : 0;
    sections.set(call.section, sections.get(call.section) || fits);
  }
  for (const [section, any] of sections) section.hidden = !any;
  at("found").textContent = words.length || role ? `${shown} calls` : "";
};

// Opens what the address names.
const go = () => {
  const named = at(decodeURIComponent(location.hash.slice(1)));
  if (named?.tagName === "DETAILS") named.open = true;
  named?.scrollIntoView();
};

document.addEventListener("keydown", (event) => {
  const typing = ["INPUT", "SELECT"].includes(document.activeElement?.tagName);
  if (event.key === "/" && !typing) {
    event.preventDefault();
    at("search").focus();
  }
  if (event.key === "Escape" && typing) {
    at("search").value = "";
    find();
  }
  // From the search down to the calls, and from call to call.
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const open = calls.filter((call) => !call.isCode && !call.element.hidden).map((call) => call.element.firstElementChild);
    const here = open.indexOf(document.activeElement);
    if (here < 0 && document.activeElement !== at("search")) return;
    event.preventDefault();
    (open[event.key === "ArrowDown" ? here + 1 : here - 1] ?? at("search")).focus();
  }
});
at("search").addEventListener("input", find);
at("role").addEventListener("input", find);
addEventListener("hashchange", go);

fetch("/openapi.json").then((answer) => answer.json()).then((document) => {
  api = document;
  show();
  go();
}).catch((error) => {
  at("calls").replaceChildren(make("p", {}, `The document cannot be read: ${error.message}`));
});
