// Which rows of every layer of a net some rows of its output are made from. A part of bodies for each_isa.h.

// Rows of pool(prelu(in)) that so many rows of the output are made from.
static int64_t rows_seen(const LayerSizes& s, int64_t rows) { return (rows - 1) * s.stride + s.kernel; }

// The rows of every layer's input that are needed for some rows of the net's output.
struct Strip {
  int64_t first[MTCNN_MAX_LAYERS], rows[MTCNN_MAX_LAYERS];
  Strip(const LayerSizes* s, int64_t count, int64_t top, int64_t rows_) {
    for (int64_t l = count - 1; l >= 0; --l) {
      const int64_t start = top * s[l].stride, last = start + rows_seen(s[l], rows_);  // one beyond; both behind the pooling
      const int64_t end = s[l].pool ? std::min(2 * (last - 1) + s[l].pool, s[l].height) : last;
      top = first[l] = s[l].pool ? 2 * start : start;
      rows_ = rows[l] = end - top;
    }
  }
};

static int64_t divide_up(int64_t count, int64_t size) { return (count + size - 1) / size; }
