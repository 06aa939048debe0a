// The C interface of the package's kernels. They know nothing of MXNet or Python.
//
// All arrays are dense and row-major. Sizes must be positive unless said otherwise; who calls checks them. Results do not
// depend on the number of threads (by default OMP_NUM_THREADS, or one a processor), nor on which thread calls.
//
// Where there is not enough memory, functions that return bool return false, and mtcnn_nms -1; what they have written then is of
// no use. Nothing throws.
#pragma once
#include <cstdint>

extern "C" {

// The instruction set in use: "avx512", "avx2" or "baseline".
const char* mtcnn_instruction_set();
// Whether layers can be computed in bfloat16: on x86 processors with AMX, under Linux.
bool mtcnn_has_bfloat16();
// The most float32 operations a second that one thread reached in about `seconds`, a multiply-add counting as two: on registers
// alone, with the vectors and instructions of the other kernels. Short blocks of work are timed, and the fastest counts.
double mtcnn_peak_flops(double seconds);
// The digest of the sources that the library was built from.
const char* mtcnn_source_digest();

// The number of threads of functions without an argument `threads`, which are MXNet's operators; 0, as at first: the default.
void mtcnn_set_operator_threads(int64_t threads);

// y = x where x > 0, else alpha[c] * x, for x (outer, channels, inner).
bool mtcnn_prelu_forward(const float* x, const float* alpha, float* y, int64_t outer, int64_t channels, int64_t inner);
// dx and dalpha (channels) from dy; both are overwritten.
bool mtcnn_prelu_backward(const float* dy, const float* x, const float* alpha, float* dx, float* dalpha, int64_t outer,
                          int64_t channels, int64_t inner);

// Maximum over windows of kernel x kernel, kernel being 2 or 3, every 2 pixels, for x (planes, height, width). A window may
// reach beyond the right and lower border (Caffe's "ceil mode"); what lies there does not count.
int64_t mtcnn_pooled(int64_t length, int64_t kernel);  // length of the output along one axis
bool mtcnn_max_pool_forward(const float* x, float* y, int64_t planes, int64_t height, int64_t width, int64_t kernel);
// The gradient goes to one of the largest values of each window; dx is overwritten.
bool mtcnn_max_pool_backward(const float* dy, const float* x, float* dx, int64_t planes, int64_t height, int64_t width,
                             int64_t kernel);

// out = conv(pool(prelu(in))) + bias with square kernels and no padding, channels last.
enum { MTCNN_MAX_STRIDE = 4 };
struct MtcnnLayer {
  int64_t images, height, width, channels;  // of `in`: (images, height, width, channels)
  int64_t pool;                             // 0: none; else the side of windows of stride 2, as in mtcnn_max_pool_forward
  int64_t kernel, filters;                  // weight (filters, channels, kernel, kernel), bias (filters)
  int64_t channels_first;                   // 1: `in` is (images, channels, height, width), and there is no pooling
  int64_t bfloat16 = 0;                     // 1: factors of products are rounded to bfloat16; needs mtcnn_has_bfloat16()
  int64_t stride = 1;                       // above 1 only with channels_first, without bfloat16, and where din is null
};
// The size of out, (images, out_height, out_width, filters); false if no output is left.
bool mtcnn_layer_output(const MtcnnLayer* layer, int64_t* out_height, int64_t* out_width);
// alpha (channels), or null for no PReLU.
bool mtcnn_layer_forward(const MtcnnLayer* layer, const float* in, const float* alpha, const float* weight, const float* bias,
                         float* out);
// All gradients are overwritten. din may be null, then it is not computed, nor dalpha; dalpha is null if alpha is.
bool mtcnn_layer_backward(const MtcnnLayer* layer, const float* dout, const float* in, const float* alpha, const float* weight,
                          float* din, float* dalpha, float* dweight, float* dbias);

// A net of such layers, one's output the next one's input. The first takes channels first, without pooling; the others channels
// last, with a stride of 1. Parameters are packed once: as many floats as mtcnn_packed says (of a layer's sizes only channels,
// kernel and filters count), best at an address that 64 divides.
enum { MTCNN_MAX_LAYERS = 16 };
struct MtcnnNetLayer {
  int64_t channels, pool, kernel, filters, stride;  // as in MtcnnLayer
  const float* alpha;                               // (channels), or null for no PReLU
  const float* packed;
};
int64_t mtcnn_packed(const MtcnnNetLayer* layer);
void mtcnn_pack(const MtcnnNetLayer* layer, const float* weight, const float* bias, float* packed);
// The size of the last layer's output, (images, out_height, out_width, filters); false if there are more than MTCNN_MAX_LAYERS
// layers, or a layer has no output.
bool mtcnn_net_output(const MtcnnNetLayer* layers, int64_t count, int64_t height, int64_t width, int64_t* out_height,
                      int64_t* out_width);
// `in` (images, channels, height, width) -> out. threads: at most so many; 0 for the default. False also
// if there is no output.
bool mtcnn_net_forward(const MtcnnNetLayer* layers, int64_t count, int64_t images, int64_t height, int64_t width, int64_t threads,
                       const float* in, float* out);

// A net whose products are of 8-bit integers. A layer's input are bytes q, channels last, and its weights (filters, channels,
// kernel, kernel) are int8. With the exact sum of q * weight, x = sum * scale + shift, and the next layer's input, or, in the last
// layer, the result is x itself, in float:
//   round(min(max((x > 0 ? x : alpha * x) * to_byte + zero, 0), 255))
// Arrays of filters are padded to a multiple of 16. As in MtcnnNetLayer, `pool` comes first, and only the first layer has a stride.
struct MtcnnInt8Layer {
  int64_t channels, pool, kernel, filters, stride;
  const int8_t* packed;                                 // by mtcnn_int8_pack: mtcnn_int8_packed bytes
  const float *scale, *shift, *alpha, *to_byte, *zero;  // alpha: null in the last layer, and the two after it
};
// What multiplies bytes: "amx-int8", "avx512-vnni", "avx-vnni", "avx2"; or "" if nothing does, and these functions are slow.
const char* mtcnn_int8_instructions();
int64_t mtcnn_int8_packed(const MtcnnInt8Layer* layer);
void mtcnn_int8_pack(const MtcnnInt8Layer* layer, const int8_t* weight, int8_t* packed);
// As mtcnn_net_forward. The first layer's input is made of `in`, float32 (images, channels, height, width), as above, without alpha;
// or it is `in`, bytes (images, height, width, channels), if is_bytes is 1.
bool mtcnn_int8_forward(const MtcnnInt8Layer* layers, int64_t count, int64_t images, int64_t height, int64_t width, int64_t threads,
                        float to_byte, float zero, int64_t is_bytes, const void* in, float* out);

// mask[i] = 1 for the floor(keep_ratio * n + 1e-6) hardest, at least one, of the n samples whose label is 0 or 1, by the
// cross-entropy of logits (count, 2); else 0. NaN is hardest; of equals the lower index comes first. count may be 0.
bool mtcnn_negative_mining(const float* logits, const float* label, float* mask, int64_t count, double keep_ratio);

// Greedy suppression of boxes (count, 4) that come best first; keep gets the indices of those kept, and their number is
// returned, or -1. min_mode: overlap is intersection over the smaller box instead of the union. extra is added to sides (0 or 1).
int64_t mtcnn_nms(const float* boxes, int64_t count, double threshold, int min_mode, float extra, int64_t* keep);

// A training batch: out (count, 3, size, size) from crops (rows[i], size, size, 3), `stride` bytes apart. Colours are mixed,
// c' = sum of mix[i][c][k] * c[k] + mix[i][c][3], cut to 0..255, and become (c' - shift) * scale; mix (count, 3, 4), null for none.
// Crops with mirror[i] != 0 are turned left to right. In one thread: it is called beside training, which needs the others.
bool mtcnn_make_batch(const uint8_t* crops, int64_t stride, const int64_t* rows, const uint8_t* mirror, const float* mix,
                      int64_t count, int64_t size, float shift, float scale, float* out);

// Area means of boxes (count, 4) of one image (height, width, 3) with zeros around it -> out (count, 3, size, size), each
// value (mean - shift) * scale in float32. If is_bytes is 1, out are bytes (count, size, size, 3), the means rounded.
// Boxes are finite with positive sides. threads, here and below: as of mtcnn_net_forward.
bool mtcnn_crop_resize(const uint8_t* image, int64_t height, int64_t width, const double* boxes, int64_t count, int64_t size,
                       float shift, float scale, int64_t threads, int64_t is_bytes, void* out);

// Means of 2 x 2 pixels of an image (height, width, 3), float32 or uint8, -> out (height / 2, width / 2, 3); an odd last line is
// dropped. Both sizes are at least 2.
void mtcnn_halve(const void* pixels, int64_t is_float, int64_t height, int64_t width, int64_t threads, float* out);

// A part of a level of a pyramid, and its place on a canvas.
struct MtcnnPiece {
  const void* pixels;      // (height, width, 3), what the level is made from by area means
  int64_t is_float;        // 1: float32, 0: uint8
  int64_t height, width;
  int64_t level_height, level_width;           // of the level; what lies beyond repeats its last line
  int64_t source_y, source_x, rows, columns;   // the part of the level; source_y and source_x lie on it
  int64_t y, x;                                // where it lies on the canvas, wholly within it
};
// Writes the pieces, each value (mean - shift) * scale, to their places in out (3, height, width), float32, and nothing else; or the
// rounded means to out (height, width, 3), bytes, if is_bytes is 1. count may be 0.
bool mtcnn_draw_pieces(const MtcnnPiece* pieces, int64_t count, float shift, float scale, int64_t height, int64_t width,
                       int64_t threads, int64_t is_bytes, void* out);
}
