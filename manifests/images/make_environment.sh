#!/bin/sh
# Makes one of the image's Python environments: make_environment.sh DIRECTORY LOCK
# Run while the image is built, by cpu.Dockerfile.
set -eu
directory=$1
lock=$2

# The root file system may be read-only, so that Python could not keep what it compiles. Unchecked: sources never change.
export UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH
uv venv --quiet --python python3.11 "$directory"
uv pip install --quiet --link-mode copy --python "$directory/bin/python" --no-deps --require-hashes \
  --build-constraint "$(dirname "$0")/build.txt" --requirement "$lock"

cd "$directory"/lib/python3.11/site-packages
# What no step of a pipeline reads: C++ headers, test suites, type stubs.
rm -r tensorflow/include
find . -type d -name tests -prune -exec rm -r {} +
find . -name '*.pyi' -delete
# Symbol tables of the large binaries; the dynamic symbols stay. Not of small ones: strip breaks some that patchelf made.
find . -type f -size +50M \( -name '*.so*' -o -name worker_binary \) -exec strip --strip-unneeded {} +
