// The cascade of Zhang et al. (2016), section II-A: propose with P-Net, refine with R-Net, output with O-Net.
//
// `model` is what `readManifest` gives. `run(net, data, dims)` runs a net on an input (N, 3, H, W) and resolves to its outputs
// { probability, offsets, landmarks }, each { data, dims }. A candidate is { box, score, odds }.
import * as boxes from "./boxes.js";
import { cropperOf } from "./crops.js";
import { drawPiece, halvedImages, pieces, planLevels } from "./pyramid.js";

export const FACTOR = 0.709; // scale between neighbouring levels: each has half the pixels of the previous one
const BATCH = 64; // largest number of crops that a net sees at once
const SURE = 1e-4; // P- and R-Net's scores count as no closer to 0 or 1 in a score of all three nets

/**
 * The faces in an image (see sampling.js), best first: { box, score, landmarks }, `landmarks` being five points [x, y] or null.
 *
 * `options` are { minFace, thresholds, nms }: the side in pixels of the smallest face, the three probabilities that the nets must
 * reach, and the four overlaps that are allowed (the model's unless they are given). `pause(done)` is awaited between runs of a
 * net; `done` is the share of P-Net's work.
 */
export async function detect(image, itsModel, run, options, pause = () => {}) {
  const model = { ...itsModel, nms: options.nms ?? itsModel.nms };
  const job = { image, model, run, pause, crop: cropperOf(image), threshold: thresholdOf(model, options.thresholds) };
  const proposals = await propose(job, options.minFace);
  const refined = await refine(job, proposals);
  return output(job, refined);
}

/** The threshold of stage 0, 1 or 2 for a candidate of a side in pixels. */
export const thresholdOf = ({ largeFaces }, thresholds) => (stage, side) =>
  Math.fround(thresholds[stage] * (side >= largeFaces.side ? largeFaces.factors[stage] : 1));

/** Stage one: P-Net on the pyramid. Returns candidates whose boxes are squares. */
async function propose(job, minFace) {
  const { image, model, threshold } = job;
  const { views, nms, convention, scoreWeights } = model;
  const view = views.pnet;
  const found = [];
  const levels = planLevels(image, minFace, FACTOR, view);
  const sourceOf = halvedImages(image);
  const work = levels.map((level) => level.width * level.height);
  const total = work.reduce((a, b) => a + b, 0);
  let done = 0;
  for (const [i, level] of levels.entries()) {
    const least = threshold(0, view.cell / level.scale[0]);
    const cells = await scan(job, level, sourceOf(level), least, (share) => (done + share * work[i]) / total);
    for (const { box, ...rest } of boxes.suppress(cells, nms[0])) {
      found.push({ ...rest, box: boxes.cellToImage(box, level.scale, convention) });
    }
    done += work[i];
  }
  return boxes
    .suppress(found, nms[1])
    .map(({ box, score, offsets }) => ({
      box: boxes.cropSquare(boxes.decodeCell(box, offsets, convention), convention),
      score,
      odds: oddsOf(score, scoreWeights[0]),
    }))
    .filter(({ box }) => boxes.isVisible(box, image));
}

/** P-Net's cells on a level that reach a threshold; their boxes are in pixels of the level. */
async function scan({ model, run, pause }, level, source, threshold, doneAfter) {
  const view = model.views.pnet;
  const found = [];
  const parts = pieces(level, view);
  for (const [i, piece] of parts.entries()) {
    await pause(doneAfter(i / parts.length));
    const data = drawPiece(piece, level, source, view, model.input);
    const { probability, offsets } = await run("pnet", data, [1, 3, piece.height, piece.width]);
    const [, , rows, columns] = probability.dims;
    const plane = rows * columns;
    for (let row = 0; row < view.outputs(piece.height); row++) {
      for (let column = 0; column < view.outputs(piece.width); column++) {
        const at = row * columns + column;
        const score = probability.data[plane + at];
        if (!(score >= threshold)) continue;
        const [x, y] = [piece.x + view.stride * column - view.overhang, piece.y + view.stride * row - view.overhang];
        const box = [x, y, x + view.cell, y + view.cell];
        found.push({ box, score, offsets: [0, 1, 2, 3].map((k) => offsets.data[k * plane + at]) });
      }
    }
  }
  return found;
}

/** Stage two: R-Net on every candidate. Returns those that reach the threshold, calibrated and as squares. */
async function refine(job, candidates) {
  const { image, model, threshold } = job;
  const { nms, scoreWeights, convention } = model;
  const outputs = await runOnCrops(job, "rnet", candidates);
  const passed = candidates
    .map(({ box, odds }, i) => ({ box, odds: odds * oddsOf(outputs[i].score, scoreWeights[1]), ...outputs[i] }))
    .filter(({ box, score }) => score >= threshold(1, box[2] - box[0]));
  return boxes
    .suppress(passed, nms[2])
    .map(({ box, offsets, ...rest }) => ({ ...rest, box: boxes.cropSquare(boxes.decode(box, offsets), convention) }))
    .filter(({ box }) => boxes.isVisible(box, image));
}

/** Stage three: O-Net on every candidate. Returns the faces. */
async function output(job, candidates) {
  const { image, model, threshold } = job;
  const outputs = await runOnCrops(job, "onet", candidates);
  const passed = candidates
    .map(({ box, odds }, i) => ({ ...outputs[i], crop: box, score: together(outputs[i].score, odds) }))
    .filter(({ crop, score }) => score >= threshold(2, crop[2] - crop[0]))
    .map(({ crop, score, offsets, points }) => ({
      box: boxes.decode(crop, offsets),
      score,
      landmarks: model.hasLandmarks ? boxes.decodeLandmarks(crop, points) : null, // relative to the crop, not to the box
    }));
  return boxes
    .suppress(passed, model.nms[3], true)
    .map((face) => ({ ...face, box: boxes.clip(face.box, image) }))
    .filter(({ box }) => boxes.area(box) > 0);
}

/** The outputs of R- or O-Net for each candidate: { score, offsets, points }. */
async function runOnCrops({ model, run, pause, crop }, net, candidates) {
  const view = model.views[net];
  const found = [];
  for (let start = 0; start < candidates.length; start += BATCH) {
    await pause(1);
    const part = candidates.slice(start, start + BATCH);
    const data = crop(part.map(({ box }) => boxes.around(box, view)), view.size, model.input);
    const { probability, offsets, landmarks } = await run(net, data, [part.length, 3, view.size, view.size]);
    const values = (tensor, i, width) => tensor.data.subarray(width * i, width * (i + 1));
    part.forEach((_, i) => {
      const points = landmarks && values(landmarks, i, 10);
      found.push({ score: probability.data[2 * i + 1], offsets: values(offsets, i, 4), points });
    });
  }
  return found;
}

/** The odds of a score to the power of a weight. */
function oddsOf(score, weight) {
  const sure = Math.min(Math.max(score, SURE), 1 - SURE);
  return (sure / (1 - sure)) ** weight;
}

/** A score whose odds are multiplied. */
const together = (score, odds) => (odds === 1 ? score : (score * odds) / (score * odds + 1 - score));
