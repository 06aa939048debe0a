// Sums of products of bytes on a matrix unit: Intel's AMX, which multiplies tiles of 16 rows of 16 fours. A part of int8_body.h.

// Tiles 0 to 3 are for sums and 4 and 5 for what pixels see, with a row for each of `pixels` pixels; 6 and 7 are for weights.
static void configure_tiles(int64_t pixels) {
  alignas(64) uint8_t sizes[64] = {1};  // see the manual of LDTILECFG: from byte 16 bytes of a row, from byte 48 rows
  for (int i = 0; i < 8; ++i) sizes[16 + 2 * i] = 64, sizes[48 + i] = uint8_t(i < 6 ? pixels : INT8_TILE);
  _tile_loadconfig(sizes);
}

// Sums of tiles that become values while the unit multiplies the next ones.
struct Int8Waiting {
  void (*finish)(const Int8Block&, const Int8Waiting&) = nullptr;
  char* out;
  sums sum[4][INT8_TILE];
  int count;  // of pixels in a tile
};

constexpr int int8_beside(int v) { return v == 1 ? 4 : v == 2 ? 2 : 1; }  // tiles of pixels beside V vectors: four tiles of sums

template <int M, int V>
static void matrix_finish(const Int8Block& b, const Int8Waiting& waiting) {
  for (int k = 0; k < M; ++k)
    int8_finish<INT8_TILE, V>(b, waiting.count, [&](int m, int v) { return waiting.sum[k * V + v][m]; },
                              waiting.out + k * INT8_TILE * b.out_step * b.value());
}

// As int8_tile, of M tiles of pixels: 1 or the above.
template <int M, int V>
static void matrix_tile(const Int8Block& b, const uint8_t* a, char* out, Int8Waiting* waiting) {
  constexpr int64_t next = V * VECTOR_BYTES;
  const int64_t step = b.step;
  const int8_t* weights = b.weights;
  _tile_zero(0);
  if (M * V > 1) _tile_zero(1);
  if (M * V > 2) _tile_zero(2);
  if (M * V > 3) _tile_zero(3);
  for (int r = 0; r < b.rows; ++r)
    for (int i = 0; i < b.fours; i += INT8_TILE, weights += INT8_TILE * next) {
      const uint8_t* p = a + r * b.row + 4 * i;
      _tile_loadd(4, p, step);
      _tile_loadd(6, weights, next);
      _tile_dpbusd(0, 4, 6);
      if (V == 1 && M > 1) {
        _tile_loadd(5, p + INT8_TILE * step, step);
        _tile_dpbusd(1, 5, 6);
        _tile_loadd(4, p + 2 * INT8_TILE * step, step);
        _tile_dpbusd(2, 4, 6);
        _tile_loadd(5, p + 3 * INT8_TILE * step, step);
        _tile_dpbusd(3, 5, 6);
      }
      if (V > 1) _tile_loadd(7, weights + VECTOR_BYTES, next);
      if (V > 1) _tile_dpbusd(1, 4, 7);
      if (V == 2 && M > 1) {
        _tile_loadd(5, p + INT8_TILE * step, step);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
      }
      if (V > 2) _tile_loadd(6, weights + 2 * VECTOR_BYTES, next);
      if (V > 2) _tile_dpbusd(2, 4, 6);
      if (V > 3) _tile_loadd(7, weights + 3 * VECTOR_BYTES, next);
      if (V > 3) _tile_dpbusd(3, 4, 7);
    }
  if (waiting->finish) waiting->finish(b, *waiting);
  _tile_stored(0, waiting->sum[0], VECTOR_BYTES);
  if (M * V > 1) _tile_stored(1, waiting->sum[1], VECTOR_BYTES);
  if (M * V > 2) _tile_stored(2, waiting->sum[2], VECTOR_BYTES);
  if (M * V > 3) _tile_stored(3, waiting->sum[3], VECTOR_BYTES);
  waiting->finish = matrix_finish<M, V>;
  waiting->out = out;
}

// As the class of this name for other processors; the last pixels are values only when it has gone.
class Int8Row {
 public:
  Int8Row(const Int8Block& block, int v, int64_t length) : block_(block), length_(length), many_(int8_beside(v)) {
    waiting_.count = int(std::min(INT8_TILE, length));
    single_ = v == 1 ? matrix_tile<1, 1> : v == 2 ? matrix_tile<1, 2> : v == 3 ? matrix_tile<1, 3> : matrix_tile<1, 4>;
    several_ = v == 1 ? matrix_tile<int8_beside(1), 1> : v == 2 ? matrix_tile<int8_beside(2), 2> : single_;
    configure_tiles(waiting_.count);
  }
  ~Int8Row() {
    if (waiting_.finish) waiting_.finish(block_, waiting_);
    _tile_release();
  }
  static int64_t most(int) { return INT8_TILE; }
  void operator()(const uint8_t* a, char* out) {
    for (int64_t left = length_; left > 0;) {
      const bool are_several = left >= many_ * INT8_TILE;
      const int64_t from = std::min(length_ - left, length_ - waiting_.count);  // the last tile may begin within the one before
      (are_several ? several_ : single_)(block_, a + from * block_.step, out + from * block_.out_step * block_.value(), &waiting_);
      left -= (are_several ? many_ : 1) * INT8_TILE;
    }
  }

 private:
  using Tile = void (*)(const Int8Block&, const uint8_t*, char*, Int8Waiting*);
  const Int8Block& block_;
  const int64_t length_, many_;
  Tile single_, several_;
  Int8Waiting waiting_;
};
