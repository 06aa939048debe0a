// Everything the nets need, for one instruction set.
#include "vectors.h"
#include "activation.h"
#include "conv_tiles.h"
#include "strips.h"
#include "layer.h"
#if MTCNN_AMX && VECTOR_BYTES == 64
#include "layer_bfloat16.h"
#endif
#include "net.h"
