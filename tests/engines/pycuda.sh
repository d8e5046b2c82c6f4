#!/bin/sh
# Builds PyCUDA from PyPI without a GPU and without the CUDA toolkit, and installs it for a Python, by default .venv's:
# about two minutes and 10 MB of downloads; the wheel has 0.7 MB. The tests of the CUDA seam then run through it, too.
#
# It is linked against the fake driver of these tests, whose name is that of the real one; the linker drops an empty
# library in its place, and the module would not load. cuRAND (77 MB) is left out: nothing here draws on the GPU.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${1:-$here/../../.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip download --quiet --no-deps --dest "$work" nvidia-cuda-runtime==13.0.96 nvidia-cuda-profiler-api==13.0.85
"$python" -m pip download --quiet --no-deps --no-binary pycuda --dest "$work" pycuda==2026.1
for wheel in "$work"/*.whl; do "$python" -m zipfile -e "$wheel" "$work/nvidia"; done
mkdir "$work/source" "$work/lib"
tar -xzf "$work"/pycuda-*.tar.gz -C "$work/source" --strip-components=1
gcc -std=gnu11 -O1 -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$work/lib/libcuda.so" "$here"/fake_libcuda/*.c

cd "$work/source"
cat > siteconf.py <<END
CUDA_ENABLE_CURAND = False
CUDA_INC_DIR = ["$work/nvidia/nvidia/cu13/include"]
CUDADRV_LIB_DIR = ["$work/lib"]
END
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work" .
"$python" -m pip install --quiet "$work"/pycuda-*-linux_*.whl
