// Area means. Every pixel of a level or of a crop is the mean of the part of the image that it covers, not rounded. Beyond the
// image everything is black.
//
// An image is { data, width, height, step }: rows of pixels in 0..255, `step` numbers from a pixel to the next, the first three
// being red, green and blue.

/** The image of an `ImageData`. */
export const imageOf = ({ data, width, height }) => ({ data, width, height, step: 4 });

/** The 2 x 2 means of an image; an odd last line is dropped. */
export function halve({ data, width, height, step }) {
  const [w, h] = [width >> 1, height >> 1];
  const halved = new Float32Array(3 * w * h);
  for (let y = 0, to = 0; y < h; y++) {
    let from = 2 * y * width * step;
    for (let x = 0; x < w; x++, from += 2 * step) {
      const below = from + width * step;
      for (let c = 0; c < 3; c++) {
        halved[to++] = (data[from + c] + data[from + step + c] + data[below + c] + data[below + step + c]) / 4;
      }
    }
  }
  return { data: halved, width: w, height: h, step: 3 };
}

/**
 * How much each pixel of an axis of `length` pixels counts in the mean over each of `size` equal parts of start..stop.
 *
 * Returns, for the parts first..first + count, the last part standing in for those beyond it: `from` and `to`, the pixels that
 * count (`to` is exclusive; none beyond the axis), and `at`, where their weights begin in `weights`.
 */
export function axisWeights(start, stop, size, length, first = 0, count = size) {
  const step = (stop - start) / size;
  const [from, to, at] = [new Int32Array(count), new Int32Array(count), new Int32Array(count)];
  const weights = [];
  for (let i = 0; i < count; i++) {
    const low = start + Math.min(first + i, size - 1) * step;
    const high = low + step;
    from[i] = Math.min(Math.max(Math.floor(low), 0), length);
    to[i] = Math.max(Math.min(Math.ceil(high), length), from[i]);
    at[i] = weights.length;
    for (let p = from[i]; p < to[i]; p++) weights.push(Math.max(Math.min(high, p + 1) - Math.max(low, p), 0) / step);
  }
  return { from, to, at, weights: Float32Array.from(weights) };
}

/**
 * Draw a part of an image, resized, as a net's input: (pixel - mean) * scale, a plane a colour.
 *
 * `rows` and `columns` are `axisWeights`. `target` is { data, offset, width, plane }: the first number to write, those from a
 * row to the next, and those from a colour to the next. `input` is a model's { mean, scale, colours }, `colours` being the
 * planes of red, green and blue.
 */
export function draw(image, rows, columns, target, { mean, scale, colours }) {
  const { data, step } = image;
  const left = Math.min(...columns.from);
  const span = Math.max(...columns.to, left) - left; // pixels of a row that count at all
  const mixed = new Float32Array(3 * span); // the mean of the rows that a row of the result covers
  const planes = colours.map((plane) => target.offset + plane * target.plane);
  for (let y = 0; y < rows.from.length; y++) {
    mixed.fill(0);
    for (let p = rows.from[y], w = rows.at[y]; p < rows.to[y]; p++, w++) {
      addRow(mixed, data, (p * image.width + left) * step, step, rows.weights[w]);
    }
    mixColumns(mixed, columns, left, target, y * target.width, planes, mean, scale);
  }
}

/** Write a row: the means over the columns, of a row of means over rows that begins with column `left`. */
function mixColumns(mixed, columns, left, target, offset, planes, mean, scale) {
  const { from, to, at, weights } = columns;
  const { data } = target;
  for (let x = 0; x < from.length; x++) {
    let red = 0;
    let green = 0;
    let blue = 0;
    let w = at[x];
    for (let i = 3 * (from[x] - left); i < 3 * (to[x] - left); i += 3, w++) {
      red += weights[w] * mixed[i];
      green += weights[w] * mixed[i + 1];
      blue += weights[w] * mixed[i + 2];
    }
    data[planes[0] + offset + x] = (red - mean) * scale;
    data[planes[1] + offset + x] = (green - mean) * scale;
    data[planes[2] + offset + x] = (blue - mean) * scale;
  }
}

/** Add the pixels of a row that begins at `from`, times `weight`. */
function addRow(sums, data, from, step, weight) {
  for (let to = 0; to < sums.length; to += 3, from += step) {
    sums[to] += weight * data[from];
    sums[to + 1] += weight * data[from + 1];
    sums[to + 2] += weight * data[from + 2];
  }
}
