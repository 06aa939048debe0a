// Crops of candidates. Each pixel of a crop is the mean of the part of the image that it covers, as in sampling.js.
import { axisWeights, draw } from "./sampling.js";

const MOST_SUMMED = 4e6; // pixels of an image whose sums fit into memory well: 100 MB

/** A function (boxes, size, input) that gives crops (N, 3, size, size) of an image as a `Float32Array`. */
export function cropperOf(image, mostSummed = MOST_SUMMED) {
  const sums = image.width * image.height <= mostSummed ? sumsOf(image) : null;
  return (boxes, size, input) => {
    const plane = size * size;
    const data = new Float32Array(boxes.length * 3 * plane);
    boxes.forEach((box, i) => {
      const target = { data, offset: i * 3 * plane, width: size, plane };
      if (sums) drawFromSums(sums, box, size, target, input);
      else drawFromPixels(image, box, size, target, input);
    });
    return data;
  };
}

function drawFromPixels(image, [x1, y1, x2, y2], size, target, input) {
  draw(image, axisWeights(y1, y2, size, image.height), axisWeights(x1, x2, size, image.width), target, input);
}

/**
 * The sums of all pixels above and left of each corner between pixels: rows of (width + 1) * 3 numbers. With them a crop takes
 * the same time whatever its size in the image, and a model with `large_faces` has many large candidates.
 */
function sumsOf({ data, width, height, step }) {
  const row = 3 * (width + 1);
  const sums = new Float64Array(row * (height + 1));
  for (let y = 0; y < height; y++) {
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let x = 0, from = y * width * step, to = (y + 1) * row + 3; x < width; x++, from += step, to += 3) {
      red += data[from];
      green += data[from + 1];
      blue += data[from + 2];
      sums[to] = sums[to - row] + red;
      sums[to + 1] = sums[to + 1 - row] + green;
      sums[to + 2] = sums[to + 2 - row] + blue;
    }
  }
  return { sums, width, height };
}

/** The sum over a part is a difference of the sums at its corners, which are linear between those of pixels. */
function drawFromSums(image, [x1, y1, x2, y2], size, target, { mean, scale, colours }) {
  const [across, down] = [(x2 - x1) / size, (y2 - y1) / size];
  const each = scale / (across * down);
  let above = new Float64Array(3 * (size + 1));
  let below = new Float64Array(3 * (size + 1));
  sumsOnLine(image, x1, across, y1, above);
  for (let y = 0; y < size; y++) {
    sumsOnLine(image, x1, across, y1 + (y + 1) * down, below);
    for (let c = 0; c < 3; c++) {
      const to = target.offset + colours[c] * target.plane + y * target.width;
      for (let x = 0, i = c; x < size; x++, i += 3) {
        target.data[to + x] = (below[i + 3] - below[i] - above[i + 3] + above[i]) * each - mean * scale;
      }
    }
    [above, below] = [below, above];
  }
}

/** Write the sums above y and left of x, x + step, x + 2 * step ...; what is beyond the image adds nothing. */
function sumsOnLine({ sums, width, height }, x, step, y, line) {
  const row = 3 * (width + 1);
  const inside = Math.min(Math.max(y, 0), height);
  const top = Math.min(Math.floor(inside), height - 1);
  const low = inside - top;
  for (let i = 0; i < line.length; i += 3, x += step) {
    const at = Math.min(Math.max(x, 0), width);
    const left = Math.min(Math.floor(at), width - 1);
    const right = at - left;
    for (let c = 0, from = top * row + 3 * left; c < 3; c++, from++) {
      const first = sums[from] + right * (sums[from + 3] - sums[from]);
      const second = sums[from + row] + right * (sums[from + row + 3] - sums[from + row]);
      line[i + c] = first + low * (second - first);
    }
  }
}
