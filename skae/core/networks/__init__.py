"""Networks: dense, convolutional, variational, hashing and dictionary networks."""
