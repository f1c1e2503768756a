#!/usr/bin/env bash
# Fuzzes everything that the program reads: all targets, or those that are named, for SECONDS_EACH
# seconds each. Ends with 1 after a finding, whose input then lies in fuzz/artifacts/TARGET/.
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-60}

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "needs a nightly compiler: rustup toolchain install nightly" >&2
    exit 2
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "needs cargo-fuzz: cargo install cargo-fuzz" >&2
    exit 2
fi

if [ $# -gt 0 ]; then targets=("$@"); else mapfile -t targets < <(cargo +nightly fuzz list); fi
found=()
for target in "${targets[@]}"; do
    cargo +nightly fuzz build "$target" || exit 2
    # New inputs go to the first folder; those of the repository are only read.
    work=fuzz/target/corpus/$target
    mkdir -p "$work"
    words=()
    [ -f "fuzz/dictionaries/$target" ] && words=(-dict="fuzz/dictionaries/$target")
    # An input may take 16 KiB, so that half a GiB in one piece is no use of it.
    cargo +nightly fuzz run "$target" "$work" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -max_len=16384 \
        -rss_limit_mb=2048 -malloc_limit_mb=512 -print_final_stats=1 "${words[@]}" \
        || found+=("$target")
done
if [ ${#found[@]} -gt 0 ]; then
    echo "findings in: ${found[*]} (fuzz/artifacts)" >&2
    exit 1
fi
