#!/bin/sh
# Builds PyCUDA from PyPI without a GPU and without the CUDA toolkit, and installs it for a Python:
#   pycuda.sh PYTHON          a few minutes, 10 MB of downloads, 10 MB of disk
#   pycuda.sh --check PYTHON  only tells whether this machine has what that needs
# Then tests/engines/test_cuda_seams.py runs through PyCUDA, too. Nothing else is installed or changed: PyCUDA's driver
# module, all that this project uses, needs NumPy only.
#
# It is linked against the fake driver of these tests, whose name is that of the real one; the linker drops an empty
# library in its place, and the module would not load. cuRAND (77 MB) is left out: nothing here draws on the GPU.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
check=
[ "${1:-}" != --check ] || { check=yes && shift; }
python=${1:?usage: pycuda.sh [--check] PYTHON}
for tool in gcc g++; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
[ -f "$header" ] || { echo "$header is missing, which Python's development package brings" >&2; exit 1; }
[ -z "$check" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip download --quiet --no-deps --dest "$work" nvidia-cuda-runtime==13.0.96 nvidia-cuda-profiler-api==13.0.85
"$python" -m pip download --quiet --no-deps --no-binary pycuda --dest "$work" pycuda==2026.1
for wheel in "$work"/*.whl; do "$python" -m zipfile -e "$wheel" "$work/nvidia"; done
mkdir "$work/source" "$work/lib"
tar -xzf "$work"/pycuda-*.tar.gz -C "$work/source" --strip-components=1
gcc -std=gnu11 -O1 -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$work/lib/libcuda.so" "$here"/fake_libcuda/*.c

cat > "$work/source/siteconf.py" <<END
CUDA_ENABLE_CURAND = False
CUDA_INC_DIR = ["$work/nvidia/nvidia/cu13/include"]
CUDADRV_LIB_DIR = ["$work/lib"]
END
# Its speed is not under test, and compiling is most of the work.
CFLAGS="-O0 -g0" CXXFLAGS="-O0 -g0" "$python" -m pip wheel --quiet --no-deps --wheel-dir "$work" "$work/source"
"$python" -m pip install --quiet --no-deps --force-reinstall "$work"/pycuda-*-linux_*.whl
