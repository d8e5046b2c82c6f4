"""Statistics of a binary fake detector's scores: pure functions of arrays, each with its source."""
