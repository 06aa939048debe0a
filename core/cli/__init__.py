"""The command `mtcnn-gluon`: one module a verb."""
