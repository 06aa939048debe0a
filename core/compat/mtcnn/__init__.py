"""The interface of mtcnn 1.0 on this package's detector, without TensorFlow.

from mtcnn_gluon.compat.mtcnn import MTCNN     # instead of: from mtcnn import MTCNN
"""

from mtcnn_gluon.compat.mtcnn.mtcnn import MTCNN

__all__ = ["MTCNN"]
