// A whole net, layer behind layer, without a wait between layers: the work is cut into tasks of some images or of a strip of
// rows of the output, and each task goes through all layers while its values are in the cache. A body for each_isa.h, after
// layer.h.

constexpr int64_t NET_CACHED = 8 * CACHED;  // floats between two layers that stay near a core
constexpr int64_t NET_GROUP = 8;            // images that go through a net together: one's dense layers alone would wait for weights

// Bias and weights as tiles read them.
static void pack_layer(const MtcnnLayer& s, const float* weight, const float* bias, float* packed) {
  float* weights = packed + Blocks(s.filters).padded();
  std::fill(packed, weights + packed_size(s.channels, s.filters, s.kernel), 0.f);
  std::copy(bias, bias + s.filters, packed);
  each_weight(s.channels, s.filters, s.kernel, false, [&](int64_t at, int64_t from) { weights[at] = weight[from]; });
}

static int64_t packed_floats(const MtcnnLayer& s) {
  return Blocks(s.filters).padded() + packed_size(s.channels, s.filters, s.kernel);
}

// How a net's work is cut, such that all threads get about as much, and what memory a task needs: for the activated input of a
// layer, for its output, and two rows.
struct NetPlan {
  int64_t strip, strips, group, groups, activated = 0, between = 0, row = 0;

  NetPlan(const LayerSizes* s, int64_t count, int64_t threads) {
    const int64_t height = s[count - 1].out_height, images = s->images;
    measure(s, count, height);
    strips = std::max(divide_up(between, NET_CACHED), images < threads ? threads : 1);
    if (strips > 1) strips = divide_up(strips, threads) * threads;
    strip = std::max(divide_up(height, strips), std::min<int64_t>(height, 4));
    strips = divide_up(height, strip);
    measure(s, count, strip);
    group = strips > 1 ? 1 : divide_up(images, divide_up(images, NET_GROUP * threads) * threads);
    groups = divide_up(images, group);
  }
  void measure(const LayerSizes* s, int64_t count, int64_t rows) {
    const Strip part(s, count, 0, rows);
    activated = between = row = 0;
    for (int64_t l = 0; l < count; ++l) {
      const int64_t out = l + 1 < count ? part.rows[l + 1] : rows;
      activated = std::max(activated, rows_seen(s[l], out) * s[l].pooled_width * s[l].channels);
      if (l) between = std::max(between, part.rows[l] * s[l].width * s[l].channels);
      row = std::max(row, s[l].width * s[l].channels);
    }
  }
  int64_t floats() const { return group * (activated + between) + 2 * row + 4 * MAX_LANES; }
};

// One task: rows [top, top + rows) of the outputs of images [from, from + count).
static void forward_part(const MtcnnNetLayer* layers, const LayerSizes* sizes, int64_t number, const NetPlan& plan, int64_t from,
                         int64_t count, int64_t top, int64_t rows, const float* in, const float* const* alphas, float* work,
                         float* out) {
  const Strip part(sizes, number, top, rows);
  float *a = work, *x = a + plan.group * plan.activated + MAX_LANES, *tall = x + plan.group * plan.between + MAX_LANES;
  for (int64_t l = 0; l < number; ++l) {
    LayerSizes s = sizes[l];
    const bool is_last = l + 1 == number;
    const int64_t image = s.height * s.width * s.channels;
    if (l) s.height = part.rows[l];
    Conv c = forward_conv(s);
    c.rows = is_last ? rows : part.rows[l + 1];
    c.in_image = rows_seen(s, c.rows) * c.in_row;
    c.out_image = is_last ? sizes[l].out_height * c.out_row : c.rows * c.out_row;
    for (int64_t i = 0; i < count; ++i)
      activate(s, l ? x + i * s.height * s.width * s.channels : in + (from + i) * image, alphas[l], l ? 0 : part.first[0],
               rows_seen(s, c.rows), a + i * c.in_image, tall);
    const float* packed = layers[l].packed;
    convolve(c, count, a, packed + Blocks(s.filters).padded(), packed,
             is_last ? out + from * c.out_image + top * c.out_row : x);
  }
}

static bool net_forward(const MtcnnNetLayer* layers, const LayerSizes* sizes, int64_t count, int64_t wanted, const float* in,
                        float* out) {
  const int64_t usable = usable_threads(wanted);
  const NetPlan plan(sizes, count, usable);
  const int64_t tasks = plan.groups * plan.strips, threads = std::clamp<int64_t>(tasks, 1, usable), room = plan.floats();
  int64_t row = 0;
  for (int64_t l = 0; l < count; ++l) row += layers[l].alpha ? sizes[l].width * sizes[l].channels : 0;
  Memory memory;
  float* spread = memory.take(row);
  float* work = memory.take(threads * room);
  if (!memory.is_enough()) return false;
  const float* alphas[MTCNN_MAX_LAYERS] = {};
  for (int64_t l = 0; l < count; ++l) {
    if (!layers[l].alpha) continue;
    alphas[l] = spread;
    for (int64_t i = 0; i < sizes[l].width * sizes[l].channels; ++i) *spread++ = layers[l].alpha[i % sizes[l].channels];
  }
  each_task(tasks, int(threads), [&](int64_t task, int thread) {
    const int64_t from = task / plan.strips * plan.group, top = task % plan.strips * plan.strip;
    forward_part(layers, sizes, count, plan, from, std::min(plan.group, sizes->images - from), top,
                 std::min(plan.strip, sizes[count - 1].out_height - top), in, alphas, work + thread * room, out);
  });
  return true;
}
