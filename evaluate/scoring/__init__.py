"""From engines and images to stored scores and latency; what a device runs."""
