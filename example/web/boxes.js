// Geometry of boxes [x1, y1, x2, y2] in pixels of the image. x2 and y2 are exclusive: a box from 0, 0 to width, height is the
// whole image. `convention` is a model's `box_convention`: "continuous", or "matlab" for weights that come from MATLAB code.

/** Area in square pixels; 0 for a box whose sides are not positive. */
export const area = ([x1, y1, x2, y2]) => Math.max(x2 - x1, 0) * Math.max(y2 - y1, 0);

/** A box clipped to an image. */
export const clip = (box, { width, height }) => box.map((value, i) => Math.min(Math.max(value, 0), i % 2 ? height : width));

/** The box that offsets, in sides of a crop, give for this crop. */
export const decode = (crop, offsets) => crop.map((value, i) => value + offsets[i] * (crop[2 + (i % 2)] - crop[i % 2]));

/** Five points [x, y] from ten numbers, x and y interleaved, in 0..1 of a crop. */
export const decodeLandmarks = ([x1, y1, x2, y2], points) =>
  [0, 2, 4, 6, 8].map((i) => [x1 + points[i] * (x2 - x1), y1 + points[i + 1] * (y2 - y1)]);

/** The box in the image of a square on a level, which has the scale [x, y]: level / image. */
export function cellToImage(square, scale, convention) {
  if (convention !== "matlab") return square.map((value, i) => value / scale[i % 2]);
  return square.map((value, i) => (value + (i < 2 ? 1 : 0)) / scale[i % 2] - (i < 2 ? 1.5 : 0.5));
}

/** The box that P-Net's offsets give for a `cellToImage` box. */
export function decodeCell(box, offsets, convention) {
  const less = convention === "matlab" ? 1 : 0; // w = x2 - x1 of inclusive corners: a pixel less than the side
  return box.map((value, i) => value + offsets[i] * (box[2 + (i % 2)] - box[i % 2] - less));
}

/** The square around a box that R- or O-Net sees next. */
export function cropSquare([x1, y1, x2, y2], convention) {
  const half = Math.max(x2 - x1, y2 - y1) / 2;
  const shift = convention === "matlab" ? 0.5 : 0; // MATLAB truncates corners, which moves them by half a pixel on average
  const [x, y] = [(x1 + x2) / 2 - shift, (y1 + y2) / 2 - shift];
  return [x - half, y - half, x + half, y + half];
}

/** A square, widened by what a net sees around a candidate. */
export function around([x1, y1, x2, y2], view) {
  const margin = (x2 - x1) * (view.context / view.cell);
  return [x1 - margin, y1 - margin, x2 + margin, y2 + margin];
}

/** Whether a box is finite, at least a pixel wide and high, and not entirely outside the image. */
export const isVisible = ([x1, y1, x2, y2], { width, height }) =>
  x2 - x1 >= 1 && y2 - y1 >= 1 && x2 > 0 && y2 > 0 && x1 < width && y1 < height && Number.isFinite(x2 - x1 + y2 - y1);

/**
 * Greedy suppression of candidates with `box` and `score`. Returns those to keep, best first. A kept box removes every later
 * one that overlaps it by more than `threshold`: intersection over union or, if `overSmaller`, over the smaller box.
 */
export function suppress(candidates, threshold, overSmaller = false) {
  const sorted = [...candidates].sort((a, b) => b.score - a.score); // stable: among equal scores the earlier one comes first
  const corners = new Float64Array(4 * sorted.length); // of the kept boxes
  const areas = new Float64Array(sorted.length);
  const kept = [];
  const isCovered = ([x1, y1, x2, y2], own) => {
    for (let k = 0; k < kept.length; k++) {
      const width = Math.min(x2, corners[4 * k + 2]) - Math.max(x1, corners[4 * k]);
      const height = Math.min(y2, corners[4 * k + 3]) - Math.max(y1, corners[4 * k + 1]);
      if (width <= 0 || height <= 0) continue;
      const shared = width * height;
      if (shared > threshold * (overSmaller ? Math.min(own, areas[k]) : own + areas[k] - shared)) return true;
    }
    return false;
  };
  for (const candidate of sorted) {
    const own = area(candidate.box);
    if (isCovered(candidate.box, own)) continue;
    corners.set(candidate.box, 4 * kept.length);
    areas[kept.length] = own;
    kept.push(candidate);
  }
  return kept;
}
