#!/usr/bin/env bash
# Draws the pictures of the gallery: one test sample of each system under a trained network.
set -euo pipefail
cd "$(dirname "$0")/../.."
draw() { # figure, system, options of the run
    local figure=$1 system=$2 out=target/pictures/$2
    shift 2
    cargo run --release --quiet -- run "$system" "$@" --quiet --force --out "$out"
    install -D -m 644 "$out/figures/$figure.svg" "docs/figures/$system.svg"
}
draw_field() { # system, options of the run
    local system=$1 out=target/pictures/$1
    shift
    cargo run --release --quiet -- run "$system" --method lm "$@" --quiet --force --out "$out"
    # Four maps of many cells each are smaller as points.
    install -D -m 644 "$out/figures/sample.png" "docs/figures/$system.png"
}
draw path toy --method adam --method hig --updates 1000
draw sample linear-oscillators --method hig --epochs 10
draw sample nonlinear-oscillators --method adaptive-hig --epochs 4
draw sample poisson --method adam --epochs 200
draw sample quantum-dipole --method adaptive-hig --epochs 4
draw sample heat-inversion --method adaptive-hig --updates 100
draw_field burgers-pinn --updates 200
draw_field allen-cahn-pinn --updates 150
draw_field fokker-planck-pinn --set dimension=1 --set samples=1000 --set batch=1000 --updates 100
draw_field burgers-inverse-pinn --updates 150
ls -l docs/figures
