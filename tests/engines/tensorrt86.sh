#!/usr/bin/env bash
# Makes an environment with TensorRT 8.6.0, the newest classic TensorRT whose libraries are on PyPI, for CPython 3.10.
#   tensorrt86.sh FOLDER        downloads 0.85 GB, takes 1.3 GB of disk
#   tensorrt86.sh --check       only tells whether this machine has what that needs
# It takes the CPython 3.10 that PYTHON310 names, else python3.10 on PATH, else one of pyenv's.
# It serves tests/engines/test_tensorrt86.py up to the point where a GPU is needed.
set -euo pipefail

cpython310() {
  local python candidates=("${PYTHON310:-}")
  if [ -z "${PYTHON310:-}" ]; then
    # A shim of pyenv is on PATH even where it refuses to run, so that each is tried.
    mapfile -t candidates < <(type -ap python3.10)
    candidates+=("${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python3.10)
  fi
  for python in "${candidates[@]}"; do
    if "$python" -c 'import ensurepip, sys, venv
sys.exit(sys.version_info[:2] != (3, 10) or sys.implementation.name != "cpython")' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  echo "${PYTHON310:-python3.10} is no CPython 3.10 with venv and pip; name one with PYTHON310" >&2
  return 1
}

folder=${1:?usage: tensorrt86.sh FOLDER, or tensorrt86.sh --check}
python=$(cpython310)
for tool in gcc nm; do
  type -p "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
[ "$folder" != --check ] || exit 0

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
