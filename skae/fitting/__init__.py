"""The steps of `fit`, in order: data, split, PCA initialisation, training, selection."""
