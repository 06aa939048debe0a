// Area means for pyramids, for one instruction set.

#include "pixels.h"

// sums[i] = above[i] + below[i]
template <class Value>
static NOINLINE void add_rows(const Value* above, const Value* below, int64_t length, float* sums) {
  INDEPENDENT
  for (int64_t i = 0; i < length; ++i) sums[i] = float(above[i]) + float(below[i]);
}

// Means of 2 x 2 pixels of three interleaved colours. stride: values from a row to the next.
template <class Value>
static void halve_row(const Value* above, int64_t stride, int64_t columns, float* out) {
  constexpr int64_t BLOCK = 128;
  float sums[6 * BLOCK + 1];  // one more: pixels are read four floats at a time
  sums[6 * BLOCK] = 0;
  for (int64_t left = columns; left > 0; left -= BLOCK, above += 6 * BLOCK, out += 3 * BLOCK) {
    const int64_t count = std::min(left, BLOCK);
    add_rows(above, above + stride, 6 * count, sums);
    for (int64_t x = 0; x < count - 1; ++x)  // the fourth float is one too many, and the next pixel overwrites it
      put(out + 3 * x, (get(sums + 6 * x) + get(sums + 6 * x + 3)) * 0.25f);
    const pixel last = (get(sums + 6 * count - 6) + get(sums + 6 * count - 3)) * 0.25f;
    for (int64_t c = 0; c < 3; ++c) out[3 * count - 3 + c] = last[c];
  }
}

// Row y of a piece -> its place in out, (3, height, width) or, as bytes, (height, width, 3). row: working memory.
static void draw_row(const Plan& plan, int64_t y, float shift, float scale, float* row, int64_t height, int64_t width, bool is_bytes,
                     void* out) {
  const MtcnnPiece& p = plan.piece;
  const int64_t at = 3 * (plan.rows.first[y] * p.width + plan.columns.first[0]), stride = 3 * p.width, used = 3 * plan.used;
  const float* weights = plan.rows.weights.data() + y * plan.rows.most;
  p.is_float ? mix_rows(static_cast<const float*>(p.pixels) + at, stride, weights, plan.rows.most, used, row)
             : mix_rows(static_cast<const uint8_t*>(p.pixels) + at, stride, weights, plan.rows.most, used, row);
  std::fill(row + used, row + 3 * plan.held + 1, 0.f);
  const int64_t to = (p.y + y) * width + p.x, plane = height * width;
  if (is_bytes) return mix_columns(plan.columns, row, ByteRow{static_cast<uint8_t*>(out) + 3 * to});
  float* r = static_cast<float*>(out) + to;
  mix_columns(plan.columns, row, FloatRow{r, r + plane, r + 2 * plane, shift, scale});
}
