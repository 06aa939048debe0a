"""The hot spots, each under one name whatever runs underneath."""

from mtcnn_gluon.operators.crop_resize import crop_resize
from mtcnn_gluon.operators.make_batch import make_batch
from mtcnn_gluon.operators.nms import grouped_nms, nms

__all__ = ["crop_resize", "grouped_nms", "make_batch", "nms"]
