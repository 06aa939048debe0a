// Everything the nets need, for one instruction set.
#include "vectors.h"
#include "activation.h"
#include "conv_tiles.h"
#include "layer.h"
#include "net.h"
