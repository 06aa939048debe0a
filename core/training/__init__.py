"""Training of the three nets: batches, losses, the loop."""
