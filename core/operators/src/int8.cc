#include "shared.h"

#if MTCNN_X86
#include <immintrin.h>
#endif

// Bodies as in each_isa.h, but for what multiplies integers: a matrix unit (AMX), AVX512-VNNI or AVX-VNNI of bytes, AVX2 of words,
// or else plain loops. INT8_BYTES are those of a factor.
#define INT8_MATRIX 0
#define INT8_BYTES 1
#define VECTOR_BYTES 16
#define INT8_DOT 0
namespace plain {
#include "vectors.h"
#include "strips.h"
#include "int8_body.h"
}
#undef VECTOR_BYTES
#undef INT8_DOT

#if MTCNN_X86
#undef INT8_BYTES
#define INT8_BYTES 2
#define VECTOR_BYTES 32
#define INT8_DOT 256
MTCNN_TARGET("avx2,fma")
namespace avx2 {
#include "vectors.h"
#include "strips.h"
#include "int8_body.h"
}
MTCNN_TARGET_END
#undef VECTOR_BYTES
#undef INT8_DOT
#undef INT8_BYTES
#define INT8_BYTES 1
#define INT8_WORDS_DISPATCH(function, ...) int8_set() == Int8Set::avx2 ? avx2::function(__VA_ARGS__) :
#else
#define INT8_WORDS_DISPATCH(function, ...)
#endif

#if MTCNN_INT8
#define VECTOR_BYTES 32
#define INT8_DOT 256
MTCNN_TARGET("avx2,fma,avxvnni")
namespace avxvnni {
#include "vectors.h"
#include "strips.h"
#include "int8_body.h"
}
MTCNN_TARGET_END
#undef VECTOR_BYTES
#undef INT8_DOT

#define VECTOR_BYTES 64
#define INT8_DOT 512
MTCNN_TARGET("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace avx512vnni {
#include "vectors.h"
#include "strips.h"
#include "int8_body.h"
}
MTCNN_TARGET_END
#undef VECTOR_BYTES
#undef INT8_DOT

#undef INT8_MATRIX

#if MTCNN_AMX
#define INT8_MATRIX 1
#define VECTOR_BYTES 64
#define INT8_DOT 512
MTCNN_TARGET("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")
namespace amx {
#include "vectors.h"
#include "strips.h"
#include "int8_body.h"
}
MTCNN_TARGET_END
#undef VECTOR_BYTES
#undef INT8_DOT
#undef INT8_MATRIX
#define INT8_MATRIX_DISPATCH(function, ...) int8_set() == Int8Set::amx ? amx::function(__VA_ARGS__) :
#else
#define INT8_MATRIX_DISPATCH(function, ...)
#endif

#define INT8_DISPATCH(function, ...)                                      \
  (INT8_MATRIX_DISPATCH(function, __VA_ARGS__) \
   int8_set() == Int8Set::avx512vnni ? avx512vnni::function(__VA_ARGS__) \
   : int8_set() == Int8Set::avxvnni  ? avxvnni::function(__VA_ARGS__)    \
   : INT8_WORDS_DISPATCH(function, __VA_ARGS__) plain::function(__VA_ARGS__))
#else
#define INT8_DISPATCH(function, ...) (INT8_WORDS_DISPATCH(function, __VA_ARGS__) plain::function(__VA_ARGS__))
#endif

const char* mtcnn_int8_instructions() {
  static const char* const names[] = {"", "avx2", "avx-vnni", "avx512-vnni", "amx-int8"};
  return names[int(int8_set())];
}

int64_t mtcnn_int8_packed(const MtcnnInt8Layer* layer) { return INT8_DISPATCH(int8_packed, *layer); }

void mtcnn_int8_pack(const MtcnnInt8Layer* layer, const int8_t* weight, int8_t* packed) {
  INT8_DISPATCH(int8_pack, *layer, weight, packed);
}

bool mtcnn_int8_forward(const MtcnnInt8Layer* layers, int64_t count, int64_t images, int64_t height, int64_t width, int64_t threads,
                        float to_byte, float zero, int64_t is_bytes, const void* in, float* out) {
  LayerSizes sizes[MTCNN_MAX_LAYERS];
  if (count < 1 || count > MTCNN_MAX_LAYERS) return false;
  for (int64_t l = 0; l < count; ++l) {
    const MtcnnInt8Layer& layer = layers[l];
    sizes[l] = sizes_of({images, height, width, layer.channels, layer.pool, layer.kernel, layer.filters, l == 0, 0, layer.stride});
    height = sizes[l].out_height, width = sizes[l].out_width;
    if (height < 1 || width < 1) return false;
  }
  return INT8_DISPATCH(int8_forward, layers, sizes, count, threads, to_byte, zero, is_bytes != 0, in, out);
}
