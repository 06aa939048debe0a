"""The time-critical operations: each one function, on the compiled kernels or, without them, on numpy."""

from mtcnn_gluon.operators.crop_resize import crop_resize
from mtcnn_gluon.operators.make_batch import make_batch
from mtcnn_gluon.operators.nms import grouped_nms, nms
from mtcnn_gluon.operators.pyramid_pieces import LevelSource, draw_pieces, halve

__all__ = ["LevelSource", "crop_resize", "draw_pieces", "grouped_nms", "halve", "make_batch", "nms"]
