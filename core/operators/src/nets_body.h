// Everything the nets need, for one instruction set.
#include "activation.h"
#include "conv_tiles.h"
#include "layer.h"
