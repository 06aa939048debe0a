"""The command `mtcnn-gluon`: one module per verb."""
