// The image pyramid. Level k is the image scaled by cell / smallest face * factor ** k, and ends when its shorter side is less
// than a cell. Sizes are rounded up, and the exact scale of each axis is kept.
//
// P-Net sees a level with a black margin if it sees more than a cell, else with its last lines repeated so that its sides are
// multiples of P-Net's stride. To bound the memory, large levels are cut into pieces that overlap by what P-Net sees of a cell.
import { axisWeights, draw, halve } from "./sampling.js";

const LARGEST = 640; // side in pixels of a piece; a multiple of every stride
const NEARLY = 1e-6;

/** The levels of an image, largest first: size, number of halvings of the image before it is resized, and scale [x, y]. */
export function planLevels({ width, height }, minFace, factor, view) {
  const levels = [];
  let [scale, least] = [view.cell / minFace, view.cell];
  while (Math.min(width, height) * scale >= least - NEARLY) {
    levels.push(planLevel(width, height, scale));
    [scale, least] = [scale * factor, view.cell - view.overhang];
  }
  return levels;
}

function planLevel(width, height, scale) {
  const [w, h] = [width, height].map((side) => Math.ceil(side * scale - NEARLY));
  let halvings = 0;
  while (height >> (halvings + 1) >= 2 * h && width >> (halvings + 1) >= 2 * w) halvings++;
  const used = (side) => (side >> halvings) << halvings; // halving drops an odd last line
  return { width: w, height: h, halvings, scale: [w / used(width), h / used(height)] };
}

/** A function that gives the image that a level is made from. Levels must come largest first. */
export function halvedImages(image) {
  let halvings = 0;
  return (level) => {
    for (; halvings < level.halvings; halvings++) image = halve(image);
    return image;
  };
}

/** The pieces { x, y, width, height } of a level with its margins. */
export function pieces(level, view) {
  const [width, height] = [level.width, level.height].map(
    (side) => Math.ceil((side + 2 * view.margin) / view.stride) * view.stride,
  );
  const found = [];
  for (let y = 0; y < height - view.overlap; y += LARGEST - view.overlap) {
    for (let x = 0; x < width - view.overlap; x += LARGEST - view.overlap) {
      found.push({ x, y, width: Math.min(LARGEST, width - x), height: Math.min(LARGEST, height - y) });
    }
  }
  return found;
}

/** P-Net's input (3, height, width) for a piece of a level that is made from `source`. */
export function drawPiece(piece, level, source, view, input) {
  const plane = piece.width * piece.height;
  const data = new Float32Array(3 * plane);
  const [row, rows] = covered(piece.y, piece.height, level.height, view);
  const [column, columns] = covered(piece.x, piece.width, level.width, view);
  if (view.context) data.fill(-input.mean * input.scale);
  if (rows <= 0 || columns <= 0) return data;
  draw(
    source,
    axisWeights(0, source.height, level.height, source.height, row - view.margin, rows),
    axisWeights(0, source.width, level.width, source.width, column - view.margin, columns),
    { data, offset: (row - piece.y) * piece.width + column - piece.x, width: piece.width, plane },
    input,
  );
  return data;
}

/** The first line of a piece to draw, margins included, and how many: those on the level and, without context, all. */
function covered(start, length, size, view) {
  const first = Math.max(start, view.margin);
  const end = view.context ? Math.min(start + length, view.margin + size) : start + length;
  return [first, end - first];
}
