"""Methods of fitted estimators: transform, score, sample and neighbour search."""
