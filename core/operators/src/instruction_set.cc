#include "instruction_set.h"

#include <cstdlib>
#include <cstring>

#include "kernels.h"

// MTCNN_GLUON_ISA=baseline|avx2 asks for less than the processor has, so that tests can try every variant on one machine.
static InstructionSet best() {
#if MTCNN_X86
  const char* wanted = std::getenv("MTCNN_GLUON_ISA");
  const bool up_to_avx2 = wanted && !std::strcmp(wanted, "avx2"), up_to_baseline = wanted && !std::strcmp(wanted, "baseline");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512 && !up_to_avx2 && !up_to_baseline) return InstructionSet::avx512;
  if (avx2 && !up_to_baseline) return InstructionSet::avx2;
#endif
  return InstructionSet::baseline;
}

InstructionSet instruction_set() {
  static const InstructionSet set = best();
  return set;
}

const char* mtcnn_instruction_set() {
  static const char* const names[] = {"baseline", "avx2", "avx512"};
  return names[int(instruction_set())];
}

const char* mtcnn_source_digest() { return SOURCE_DIGEST; }
