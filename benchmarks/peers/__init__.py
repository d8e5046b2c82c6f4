"""The INT8 quantizers that `benchmarks/int8_peers.py` compares: how each is run, measured and reported."""
