// Calls functions of the page's modules: reads [module, function, ...arguments] lists as JSON, prints their results as JSON.
// A view or an input among the arguments is made by { view: table } or { input: manifest }.
//
//     node parts.mjs < calls.json
import { readFileSync } from "node:fs";
import { readManifest, viewOf } from "./page/model.js";

const made = (value) => {
  if (value?.view) return viewOf(value.view);
  if (value?.input) return readManifest(value.input).input;
  return value;
};
const plain = (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
const results = [];
for (const [module, name, ...values] of JSON.parse(readFileSync(0, "utf8"))) {
  const found = (await import(`./page/${module}.js`))[name];
  const [direct, last] = values.at(-1)?.then ? [values.slice(0, -1), values.at(-1).then] : [values, null];
  const result = found(...direct.map(made));
  results.push(last ? result(...last.map(made)) : result);
}
console.log(JSON.stringify(results, plain));
