"""Two ways to train a trial: many at once in one graph, or one by one with `model.fit`."""
