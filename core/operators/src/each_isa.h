// Includes the file named by BODY once for every instruction set, each time in a namespace of its own and with VECTOR_BYTES
// set to the size of its vector registers. DISPATCH(f, arguments) then calls the best f this processor has.
// A body may use functions and types only: a static object's initialiser would run on every processor.
#include "instruction_set.h"

#define VECTOR_BYTES 16
namespace baseline {
#include BODY
}
#undef VECTOR_BYTES

#if MTCNN_X86
#define VECTOR_BYTES 32
MTCNN_TARGET("avx2,fma")
namespace avx2 {
#include BODY
}
MTCNN_TARGET_END
#undef VECTOR_BYTES

#define VECTOR_BYTES 64
MTCNN_TARGET("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
namespace avx512 {
#include BODY
}
MTCNN_TARGET_END
#undef VECTOR_BYTES

#define DISPATCH(function, ...)                                             \
  (instruction_set() == InstructionSet::avx512 ? avx512::function(__VA_ARGS__) \
   : instruction_set() == InstructionSet::avx2 ? avx2::function(__VA_ARGS__)   \
                                               : baseline::function(__VA_ARGS__))
#else
#define DISPATCH(function, ...) baseline::function(__VA_ARGS__)
#endif
