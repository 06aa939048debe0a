// Finds faces with the page's cascade in Node.js; reads jobs as JSON, prints the faces of each as JSON.
//
//     node detect.mjs < jobs.json
//
// A job is { folder, pixels, width, height, minFace, thresholds }: `folder` has a bundle, and `pixels` is a file of RGB bytes.
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web/wasm";
import { detect } from "./page/cascade.js";
import { readManifest } from "./page/model.js";
import { openNets } from "./page/nets.js";

ort.env.wasm.numThreads = 1;
const opened = {};
const results = [];
for (const { folder, pixels, width, height, minFace, thresholds } of JSON.parse(readFileSync(0, "utf8"))) {
  const model = readManifest(JSON.parse(readFileSync(`${folder}/manifest.json`, "utf8")));
  opened[folder] ??= openNets(ort, ["pnet", "rnet", "onet"].map((net) => readFileSync(`${folder}/${net}.onnx`)));
  const run = await opened[folder]();
  const image = { data: readFileSync(pixels), width, height, step: 3 };
  results.push(await detect(image, model, run, { minFace, thresholds: thresholds ?? model.thresholds }));
}
console.log(JSON.stringify(results));
