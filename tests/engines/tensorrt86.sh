#!/usr/bin/env bash
# Makes an environment with TensorRT 8.6.0, the newest classic TensorRT whose libraries are on PyPI, for CPython 3.10.
#   tensorrt86.sh FOLDER        uses python3.10, or what PYTHON310 names; downloads 0.85 GB, takes 1.3 GB of disk
# It serves tests/engines/test_tensorrt86.py up to the point where a GPU is needed.
set -euo pipefail
folder=${1:?usage: tensorrt86.sh FOLDER}
python=${PYTHON310:-python3.10}
"$python" -c 'import sys; sys.version_info[:2] == (3, 10) or sys.exit(1)' 2>/dev/null || {
  echo "tensorrt86: $python is no CPython 3.10; name one with PYTHON310" >&2
  exit 1
}
"$python" -m venv --clear "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary=:all: \
  tensorrt==8.6.0 'numpy<2' tomli tqdm
libraries=$(echo "$folder"/lib/python3.10/site-packages/tensorrt)
# The plugin library links cuBLAS and cuDNN (1.5 GB), which nothing here calls. Empty functions with the right symbol
# versions let it load: TensorRT's package loads every library that lies beside it.
for library in libcublas.so.12 libcublasLt.so.12 libcudnn.so.8; do
  nm -D --undefined-only "$libraries/libnvinfer_plugin.so.8" | grep "@$library" |
    awk '{sub(/@.*/, "", $2); print "void " $2 "(void){}"}' | sort -u >"$folder/empty.c"
  printf '%s { global: *; };\n' "$library" >"$folder/empty.map"
  gcc -shared -fPIC -w "-Wl,-soname,$library" "-Wl,--version-script=$folder/empty.map" \
    -o "$libraries/$library" "$folder/empty.c"
done
rm -f "$folder/empty.c" "$folder/empty.map"
"$folder/bin/python" -c 'import tensorrt; print("TensorRT", tensorrt.__version__)'
