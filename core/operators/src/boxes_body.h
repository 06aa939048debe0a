// Suppression, cropping and batches, for one instruction set.

#include "pixels.h"

// Whether any of `count` boxes overlaps this one by more than the threshold. Doubles hold the areas of float boxes exactly.
static bool is_covered(const Kept& kept, const double* box, double area, double threshold, bool min_mode, double extra) {
  for (int64_t from = 0; from < kept.count; from += Kept::BLOCK) {
    const double *x1 = kept.x1 + from, *y1 = kept.y1 + from, *x2 = kept.x2 + from, *y2 = kept.y2 + from;
    const double* areas = kept.area + from;
    int64_t covers = 0;
    for (int64_t k = 0; k < Kept::BLOCK; ++k) {  // beyond the last box lie empty ones, which overlap nothing
      const double width = (x2[k] < box[2] ? x2[k] : box[2]) - (x1[k] > box[0] ? x1[k] : box[0]) + extra;
      const double height = (y2[k] < box[3] ? y2[k] : box[3]) - (y1[k] > box[1] ? y1[k] : box[1]) + extra;
      const double shared = (width > 0 ? width : 0) * (height > 0 ? height : 0);
      const double smaller = areas[k] < area ? areas[k] : area, both = areas[k] + area - shared;
      covers |= shared > threshold * (min_mode ? smaller : both);
    }
    if (covers) return true;
  }
  return false;
}

static int64_t nms(Kept& kept, const float* boxes, int64_t count, double threshold, bool min_mode, double extra, int64_t* keep) {
  int64_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double box[4] = {boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]};
    const double width = box[2] - box[0] + extra, height = box[3] - box[1] + extra;
    const bool is_box = width > 0 && height > 0;  // else it is empty, or holds NaN, and overlaps nothing
    if (is_box && is_covered(kept, box, width * height, threshold, min_mode, extra)) continue;
    if (is_box) kept.add(box, width * height);
    keep[found++] = i;
  }
  return found;
}

// One box of an image -> out, (3, size, size) or, as bytes, (size, size, 3). row: 3 * columns.held() + 1 floats, as pixels are read
// four floats at a time.
static void crop_one(const uint8_t* image, int64_t width, const Axis& rows, const Axis& columns, int64_t size, float shift,
                     float scale, float* row, bool is_bytes, void* out) {
  const int64_t plane = size * size, used = 3 * columns.used;
  std::fill(row, row + 3 * columns.held() + 1, 0.f);
  for (int64_t y = 0; y < size; ++y) {
    const float* weights = rows.weights.data() + y * rows.most;
    if (weights[0] > 0)
      mix_rows(image + (rows.first[y] * width + columns.first[0]) * 3, 3 * width, weights, rows.most, used, row);
    else
      std::fill(row, row + used, 0.f);
    float* r = static_cast<float*>(out) + y * size;
    if (is_bytes)
      mix_columns(columns, row, ByteRow{static_cast<uint8_t*>(out) + 3 * y * size});
    else
      mix_columns(columns, row, FloatRow{r, r + plane, r + 2 * plane, shift, scale});
  }
}

// `count` pixels of three interleaved colours -> three rows.
static NOINLINE void separate(const uint8_t* pixels, int64_t count, float* r, float* g, float* b) {
  INDEPENDENT
  for (int64_t i = 0; i < count; ++i) {
    r[i] = float(pixels[3 * i]);
    g[i] = float(pixels[3 * i + 1]);
    b[i] = float(pixels[3 * i + 2]);
  }
}

static NOINLINE void mix_colours(const float* r, const float* g, const float* b, const float* mix, float shift, float scale,
                                 float* out, int64_t count) {
  const float mr = mix[0], mg = mix[1], mb = mix[2], more = mix[3];
  INDEPENDENT
  for (int64_t i = 0; i < count; ++i) {
    const float v = mr * r[i] + mg * g[i] + mb * b[i] + more, low = v > 0 ? v : 0.f;
    out[i] = ((low < 255 ? low : 255.f) - shift) * scale;
  }
}

static NOINLINE void normalise(const float* x, float shift, float scale, float* out, int64_t count) {
  INDEPENDENT
  for (int64_t i = 0; i < count; ++i) out[i] = (x[i] - shift) * scale;
}

// One crop of a batch -> (3, size, size). planes: 3 * size * size floats.
static void batch_one(const uint8_t* crop, bool is_mirrored, const float* mix, int64_t size, float shift, float scale, float* planes,
                      float* out) {
  const int64_t plane = size * size;
  float *r = planes, *g = r + plane, *b = g + plane;
  separate(crop, plane, r, g, b);
  for (int64_t c = 0; c < 3; ++c, out += plane) {
    mix ? mix_colours(r, g, b, mix + 4 * c, shift, scale, out, plane) : normalise(planes + c * plane, shift, scale, out, plane);
    for (int64_t y = 0; is_mirrored && y < size; ++y) std::reverse(out + y * size, out + (y + 1) * size);
  }
}
