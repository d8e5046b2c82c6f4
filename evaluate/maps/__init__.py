"""Class-activation maps: computed on the source models, drawn, compared."""
