// The worker: decodes photos and runs the cascade, so that the page never waits.
//
// In:  { id, source, options }            `source`: a File, or an ImageBitmap of the camera, which goes back with the answer
//      { cancel: id }
// Out: { models } or { error } once; then for each id { id, progress }, and at last { id, result } or { id, error }
import { detect } from "./cascade.js";
import { readManifest } from "./model.js";
import { openNets } from "./nets.js";
import { imageOf } from "./sampling.js";

const BREATH = 50; // milliseconds of work after which the worker looks for messages
const cancelled = new Set();
const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { willReadFrequently: true });
const models = [];
let last = Promise.resolve();

addEventListener("message", ({ data }) => {
  if ("cancel" in data) cancelled.add(data.cancel);
  else last = last.then(() => answer(data)); // one after the other
});
load().then(
  () => postMessage({ models: models.map(({ name, licence, thresholds, nms }) => ({ name, licence, thresholds, nms })) }),
  (error) => postMessage({ error: error.message }),
);

/** Fetch all models and open the first, so that nothing is fetched later. */
async function load() {
  const ort = await import("./runtime/ort.wasm.bundle.min.mjs");
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency ?? 1, 4) : 1;
  const manifests = await (await fetched("models/index.json")).json();
  const found = manifests.map(async (manifest, number) => {
    const read = async (net) => new Uint8Array(await (await fetched(`models/${number}/${net}.onnx`)).arrayBuffer());
    return { ...readManifest(manifest), open: openNets(ort, await Promise.all(["pnet", "rnet", "onet"].map(read))) };
  });
  models.push(...(await Promise.all(found)));
  await models[0].open();
}

async function fetched(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} cannot be loaded: ${response.status} ${response.statusText}`);
  return response;
}

async function answer({ id, source, options }) {
  const isPhoto = source instanceof Blob;
  try {
    const image = await pixelsOf(source, isPhoto);
    const start = performance.now();
    const model = models[options.model];
    const faces = await detect(image, model, await model.open(), options, pauses(id));
    const milliseconds = performance.now() - start;
    const result = { faces, width: image.width, height: image.height, milliseconds };
    if (isPhoto) postMessage({ id, result });
    else postMessage({ id, result: { ...result, bitmap: source } }, [source]);
  } catch (error) {
    postMessage({ id, error: error.message });
  } finally {
    cancelled.delete(id);
  }
}

/** The pixels of a photo, upright and as they are in the file, on white where it is transparent. */
async function pixelsOf(source, isPhoto) {
  const bitmap = isPhoto ? await decoded(source) : source;
  const { width, height } = bitmap;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  if (isPhoto) bitmap.close();
  return imageOf(context.getImageData(0, 0, width, height));
}

async function decoded(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error("not an image that this browser can read");
  }
}

/** What `detect` awaits between runs of a net: it reports progress, and stops a job that was cancelled. */
function pauses(id) {
  let since = performance.now();
  return async (progress) => {
    if (performance.now() - since < BREATH) return;
    postMessage({ id, progress });
    await new Promise((resolve) => setTimeout(resolve)); // messages come in
    since = performance.now();
    if (cancelled.has(id)) throw new Error("cancelled");
  };
}
