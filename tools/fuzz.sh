#!/usr/bin/env bash
# Runs a fuzz target (all of them without a name) more often than `cargo test` does, with another seed each time, which is printed.
#   tools/fuzz.sh [TARGET] [RUNS] [SEED]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo
export LANDFALL_FUZZ_RUNS=${2:-200000} LANDFALL_FUZZ_SEED=${3:-$SRANDOM}
cargo test --lib "fuzz_${1:-}" -- --nocapture
