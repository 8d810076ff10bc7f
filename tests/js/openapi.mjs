// Whether the API's own description is right.
//
//   node openapi.mjs '{"port": 4000}'
//
// Has a validator of others look at /api/openapi.json, and then does what the document says:
// asks each path by each of its methods, with what its schemas ask for, without what they
// require, and with what they do not allow. Prints
// {"release", "paths", "asked", "problems"}: the paths by method, and what was otherwise.

import { Validator } from "@seriousme/openapi-schema-validator";

const { port } = JSON.parse(process.argv[2]);
const host = `http://localhost:${port}`;
setTimeout(() => process.exit(1), 60_000).unref();

const document = await (await fetch(`${host}/api/openapi.json`)).json();
const problems = [];
let asked = 0;

const validated = await new Validator().validate(structuredClone(document));
if (!validated.valid) problems.push({ invalid: validated.errors });

const at = (pointer) =>
  pointer
    .slice(2)
    .split("/")
    .reduce((value, name) => value[name.replaceAll("~1", "/").replaceAll("~0", "~")], document);
const resolved = (schema) => (schema.$ref ? { ...schema, ...resolved(at(schema.$ref)) } : schema);

/** Something that the schema takes. */
function sample(schema) {
  schema = resolved(schema);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const any = schema.anyOf ?? schema.oneOf;
  if (any) return sample(any[0]);
  const [type] = [schema.type].flat();
  switch (type) {
    case "string":
      return schema.format === "date" ? "2024-03-11" : "x";
    case "integer":
    case "number":
      return schema.minimum ?? 0;
    case "boolean":
      return true;
    case "array":
      return [];
    case "object":
      return object(schema, Object.keys(schema.properties ?? {}));
    default:
      return null;
  }
}

function object(schema, names) {
  return Object.fromEntries(names.map((name) => [name, sample(schema.properties[name])]));
}

/** `prices[gold_gram]=1`, as the document says of an object. */
function query(parameters, values) {
  const pairs = new URLSearchParams();
  const add = (name, value) => {
    if (value === null) return;
    if (typeof value !== "object") return pairs.append(name, value);
    for (const [inner, it] of Object.entries(value)) add(`${name}[${inner}]`, it);
  };
  for (const { name } of parameters) if (name in values) add(name, values[name]);
  return pairs;
}

async function ask(path, method, operation, what, expected, { body, search }) {
  asked += 1;
  const target = `${host}${path.replace("{key}", "openapi")}${search ? `?${search}` : ""}`;
  const headers = { "content-type": "application/json", "x-request-id": `r-${asked}` };
  const answer = await fetch(target, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  const found = { path, method, what, status: answer.status, text, body, search: `${search}` };
  const described = operation.responses[answer.status];
  if (!described) return problems.push({ ...found, why: "an answer that is not described" });
  const { content, headers: named } = resolved(described);
  const [type] = Object.keys(content ?? {});
  if (answer.headers.get("content-type") !== type) problems.push({ ...found, why: "its type" });
  for (const name of Object.keys(named ?? {})) {
    const is_there = name === "idempotent-replayed" || answer.headers.has(name);
    if (!is_there) problems.push({ ...found, why: `no header ${name}` });
  }
  if (!expected.includes(answer.status)) problems.push({ ...found, why: "its status" });
  if (type === "application/problem+json") {
    const problem = JSON.parse(text);
    for (const name of at("#/components/schemas/Problem").required) {
      if (!(name in problem)) problems.push({ ...found, why: `no member ${name}` });
    }
    if (problem.request_id !== `r-${asked}`) problems.push({ ...found, why: "its id" });
    const own = resolved(described)["x-reasons"];
    if (answer.status !== 422 && !own.includes(problem.reason)) {
      problems.push({ ...found, why: "a reason that is not described" });
    }
  }
}

// What a plugin says no to is still understood.
const understood = [200, 422];

for (const [path, methods] of Object.entries(document.paths)) {
  const { post, get } = methods;
  const schema = resolved(post.requestBody.content["application/json"].schema);
  const names = Object.keys(schema.properties ?? {});
  const required = schema.required ?? [];
  const send = (what, expected, body) => ask(path, "POST", post, what, expected, { body });
  await send("all that there is", understood, object(schema, names));
  await send("what is required", understood, object(schema, required));
  for (const name of required) {
    const without = required.filter((it) => it !== name);
    await send(`without ${name}`, [400], object(schema, without));
    const wrong = { ...object(schema, required), [name]: [[]] };
    await send(`a wrong ${name}`, [400], wrong);
  }
  const requiresBody = post.requestBody.required;
  await send("no body", requiresBody ? [400] : understood, undefined);
  if (!get) continue;
  const parameters = get.parameters.map(resolved).filter((it) => it.in === "query");
  const values = Object.fromEntries(parameters.map((it) => [it.name, sample(it.schema)]));
  const look = (what, expected, search) => ask(path, "GET", get, what, expected, { search });
  await look("all arguments", understood, query(parameters, values));
  const needed = parameters.filter((it) => it.required);
  await look("those that are required", understood, query(needed, values));
  for (const { name } of needed) {
    const without = needed.filter((it) => it.name !== name);
    await look(`without ${name}`, [400], query(without, values));
  }
}

const paths = Object.entries(document.paths).flatMap(([path, methods]) =>
  ["get", "post"].filter((method) => method in methods).map((method) => `${method} ${path}`),
);
console.log(JSON.stringify({ release: document.info.version, paths, asked, problems }));
