"""Engine Sign-off and its peers, INT8 and pruning: how each method is run, measured and reported."""
