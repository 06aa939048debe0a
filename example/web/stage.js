// What the page shows of one picture: the picture with its faces, its figures and the table of faces.
import { paint } from "./drawing.js";
import { counted, fillTable } from "./results.js";

const LONGEST = 1600; // pixels of the picture on the page; the saved one has all
const SLOW = 1000; // milliseconds between changes of the table while the camera runs

const canvas = document.getElementById("stage");
const empty = document.getElementById("empty");
const detail = document.getElementById("detail");
const results = document.getElementById("results");
const rows = document.getElementById("faces");
let shown = null; // { picture, name, result }
let tableTime = -Infinity;

/**
 * Show a picture and what was found in it, if that is known yet. A picture is an ImageBitmap, null if it cannot be shown, and
 * undefined if it follows soon.
 *
 * `rate` is the number of pictures a second from the camera, 0 if it is not known yet; null for a photo.
 */
export function show(picture, name, result, rate = null) {
  if (shown?.picture === picture && shown?.result === result) return; // only the progress has changed
  shown = picture && { picture, name, result };
  if (picture !== undefined) canvas.hidden = picture === null;
  empty.hidden = true;
  if (picture) paint(canvas, picture, result?.faces ?? [], LONGEST);
  canvas.setAttribute("aria-label", result ? `${name} with ${counted(result.faces.length)} marked` : name);
  detail.textContent = result ? figures(result, rate) : "";
  if (rate !== null && performance.now() - tableTime < SLOW) return;
  tableTime = performance.now();
  results.hidden = !result?.faces.length;
  fillTable(rows, result?.faces ?? []);
}

function figures({ width, height, milliseconds }, rate) {
  const speed = rate === null || rate === 0 ? "" : `, ${rate.toFixed(1)} pictures a second`;
  return `${width} × ${height} pixels, ${milliseconds.toFixed(0)} ms${speed}`;
}

/** The whole picture, with its faces or without, as a PNG file. */
export async function pictureFile(name, withFaces) {
  const full = document.createElement("canvas");
  paint(full, shown.picture, withFaces ? (shown.result?.faces ?? []) : []);
  const blob = await new Promise((resolve) => full.toBlob(resolve));
  if (!blob) throw new Error("This browser cannot write a picture of this size.");
  return new File([blob], name, { type: blob.type });
}

/** The name of the picture that is shown; null if there is none. */
export const shownName = () => shown?.name ?? null;
