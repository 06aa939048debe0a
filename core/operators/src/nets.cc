#include "shared.h"
#define BODY "nets_body.h"
#include "each_isa.h"

int64_t mtcnn_pooled(int64_t length, int64_t kernel) { return length <= kernel ? 1 : (length - kernel + 1) / 2 + 1; }

bool mtcnn_layer_output(const MtcnnLayer* layer, int64_t* out_height, int64_t* out_width) {
  const LayerSizes s = sizes_of(*layer);
  *out_height = s.out_height;
  *out_width = s.out_width;
  return s.out_height > 0 && s.out_width > 0;
}

bool mtcnn_layer_forward(const MtcnnLayer* layer, const float* in, const float* alpha, const float* weight, const float* bias,
                         float* out) {
#if MTCNN_AMX
  if (layer->bfloat16) return avx512::layer_forward_bfloat16(sizes_of(*layer), in, alpha, weight, bias, out);
#endif
  return DISPATCH(layer_forward, sizes_of(*layer), in, alpha, weight, bias, out);
}

bool mtcnn_layer_backward(const MtcnnLayer* layer, const float* dout, const float* in, const float* alpha, const float* weight,
                          float* din, float* dalpha, float* dweight, float* dbias) {
#if MTCNN_AMX
  if (layer->bfloat16)
    return avx512::layer_backward_bfloat16(sizes_of(*layer), dout, in, alpha, weight, din, dalpha, dweight, dbias);
#endif
  return DISPATCH(layer_backward, sizes_of(*layer), dout, in, alpha, weight, din, dalpha, dweight, dbias);
}

bool mtcnn_prelu_forward(const float* x, const float* alpha, float* y, int64_t outer, int64_t channels, int64_t inner) {
  return with_memory([=] { DISPATCH(prelu_forward, x, alpha, y, outer, channels, inner); });
}

bool mtcnn_prelu_backward(const float* dy, const float* x, const float* alpha, float* dx, float* dalpha, int64_t outer,
                          int64_t channels, int64_t inner) {
  return with_memory([=] { DISPATCH(prelu_backward, dy, x, alpha, dx, dalpha, outer, channels, inner); });
}

bool mtcnn_max_pool_forward(const float* x, float* y, int64_t planes, int64_t height, int64_t width, int64_t kernel) {
  return DISPATCH(max_pool_forward, x, y, planes, height, width, kernel);
}

bool mtcnn_max_pool_backward(const float* dy, const float* x, float* dx, int64_t planes, int64_t height, int64_t width,
                             int64_t kernel) {
  return DISPATCH(max_pool_backward, dy, x, dx, planes, height, width, kernel);
}

int64_t mtcnn_packed(const MtcnnNetLayer* layer) {
  return DISPATCH(packed_floats, {0, 0, 0, layer->channels, 0, layer->kernel, layer->filters, 0});
}

void mtcnn_pack(const MtcnnNetLayer* layer, const float* weight, const float* bias, float* packed) {
  DISPATCH(pack_layer, {0, 0, 0, layer->channels, 0, layer->kernel, layer->filters, 0}, weight, bias, packed);
}

// The sizes of all layers; false if one has no output.
static bool net_sizes(const MtcnnNetLayer* layers, int64_t count, int64_t images, int64_t height, int64_t width, LayerSizes* sizes) {
  if (count < 1 || count > MTCNN_MAX_LAYERS) return false;
  for (int64_t l = 0; l < count; ++l) {
    const MtcnnNetLayer& layer = layers[l];
    sizes[l] = sizes_of({images, height, width, layer.channels, layer.pool, layer.kernel, layer.filters, l == 0, 0, layer.stride});
    height = sizes[l].out_height, width = sizes[l].out_width;
    if (height < 1 || width < 1) return false;
  }
  return true;
}

bool mtcnn_net_output(const MtcnnNetLayer* layers, int64_t count, int64_t height, int64_t width, int64_t* out_height,
                      int64_t* out_width) {
  LayerSizes sizes[MTCNN_MAX_LAYERS];
  if (!net_sizes(layers, count, 1, height, width, sizes)) return false;
  *out_height = sizes[count - 1].out_height;
  *out_width = sizes[count - 1].out_width;
  return true;
}

bool mtcnn_net_forward(const MtcnnNetLayer* layers, int64_t count, int64_t images, int64_t height, int64_t width, int64_t threads,
                       const float* in, float* out) {
  LayerSizes sizes[MTCNN_MAX_LAYERS];
  if (!net_sizes(layers, count, images, height, width, sizes)) return false;
  return DISPATCH(net_forward, layers, sizes, count, threads, in, out);
}
