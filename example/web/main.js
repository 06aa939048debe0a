// The page: connects its buttons, the photos, the camera and the detector.
import { Camera } from "./camera.js";
import { Detector } from "./detector.js";
import { Photos } from "./photos.js";
import { counted, jsonLine, save } from "./results.js";
import { Settings } from "./settings.js";
import { pictureFile, show, shownName } from "./stage.js";

const CAMERA = "camera";
const MEMORY = 0.9; // how much the rate of the camera's pictures depends on the earlier ones
const element = (id) => document.getElementById(id);
const [status, progress, cameraButton] = ["status", "progress", "camera"].map(element);
const camera = new Camera();
let cameraResult = null;
let detector, photos, settings;

function say(text, isTrouble = false) {
  if (status.textContent !== text) status.textContent = text; // a screen reader reads every change
  status.classList.toggle("trouble", isTrouble);
}

const trouble = (error) => say(error.message, true);

function missing() {
  if (typeof WebAssembly !== "object") return "WebAssembly";
  return typeof OffscreenCanvas === "undefined" ? "OffscreenCanvas" : "";
}

async function start() {
  say("Loading the networks …");
  if (missing()) throw new Error(`This browser cannot run the page: it has no ${missing()}, or it is switched off.`);
  detector = new Detector();
  settings = new Settings(element("settings"), () => photos.again());
  photos = new Photos(element("photos"), detector, () => settings.values, showPhoto);
  connect();
  const models = await detector.models.catch(({ message }) => {
    throw new Error(`The networks cannot be loaded: ${message}`);
  });
  settings.offer(models);
  for (const id of ["files", "camera"]) element(id).disabled = false;
  say("Ready");
}

function connect() {
  element("files").addEventListener("change", ({ target }) => {
    add(target.files);
    target.value = ""; // so that the same photo can be chosen again
  });
  cameraButton.addEventListener("click", () => (camera.isOn ? keepPicture() : runCamera()).catch(trouble));
  element("save-json").addEventListener("click", saveJson);
  element("save-picture").addEventListener("click", () => savePicture().catch(trouble));
  addEventListener("paste", ({ clipboardData }) => add(clipboardData.files));
  addEventListener("dragover", (event) => event.preventDefault()); // else the browser would open the photo
  addEventListener("dragenter", () => document.body.classList.add("dropping"));
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    add(event.dataTransfer.files);
  });
}

async function add(files) {
  const list = [...files]; // the event's own list is emptied
  await detector.models;
  if (!list.length) return;
  endCamera();
  element("photos-section").hidden = false;
  photos.add(list);
}

/** Show a photo of the list and what is known of its faces. */
function showPhoto({ name, picture, result, error, isDone, share }) {
  endCamera();
  const text = isDone ? error ?? counted(result.faces.length) : "looking for faces …";
  say(`${name}: ${text}`, isDone && error !== undefined);
  progress.hidden = isDone || !share;
  progress.value = share;
  show(picture, name, result); // an earlier result until the next one is there
  canSave();
}

function canSave() {
  element("save-picture").disabled = shownName() === null;
  element("save-json").disabled = camera.isOn ? !cameraResult : !photos.all.some(({ isDone }) => isDone);
}

async function runCamera() {
  cameraButton.disabled = true;
  let rate = null;
  let before = null;
  try {
    await camera.run(async (picture) => {
      const result = await detector.detect(picture, settings.values);
      if (!camera.isOn) return result.bitmap.close();
      const now = performance.now();
      if (before !== null) rate = MEMORY * (rate ?? 1000 / (now - before)) + ((1 - MEMORY) * 1000) / (now - before);
      before = now;
      cameraResult?.bitmap.close();
      cameraResult = result;
      say(`Camera: ${counted(result.faces.length)}`);
      show(result.bitmap, CAMERA, result, rate ?? 0);
      canSave();
    }, beginCamera);
  } finally {
    endCamera();
    canSave();
  }
}

function beginCamera() {
  photos.leave();
  settings.mode = CAMERA;
  cameraButton.textContent = "Stop camera";
  cameraButton.disabled = false;
  progress.hidden = true;
}

function endCamera() {
  camera.stop();
  cameraResult = null; // its picture is still shown
  settings.mode = "photos";
  cameraButton.textContent = "Start camera";
  cameraButton.disabled = false;
}

/** Stop the camera. Its last picture becomes a photo. */
async function keepPicture() {
  if (!cameraResult) return endCamera();
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", ".");
  const file = await pictureFile(`${CAMERA} ${time}.png`, false);
  await add([file]);
}

function saveJson() {
  const done = camera.isOn ? [{ name: CAMERA, result: cameraResult }] : photos.all.filter(({ isDone }) => isDone);
  save(new Blob(done.map((each) => `${jsonLine(each)}\n`), { type: "application/jsonl" }), "faces.jsonl");
}

async function savePicture() {
  save(await pictureFile("", true), `${shownName().replace(/\.\w+$/, "")} faces.png`);
}

start().catch(trouble);
