"""Tools to look inside a fitted autoencoder: units, codes, features, losses, and displays."""
