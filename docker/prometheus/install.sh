#!/bin/sh
# Puts prometheus and promtool into a folder, unless they are on PATH: Debian's and Ubuntu's package, unpacked
# without root, its service not started. Usage: install.sh FOLDER
set -eu
folder=$1

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "prometheus and promtool are not on PATH; install them: brew install prometheus, or see https://prometheus.io/download" >&2
    exit 1
fi

echo "Installing Prometheus into $folder"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/lists/partial" "$scratch/archives/partial"
cd "$scratch"
# Without a list of packages, or with one that is out of date, apt fetches a list of its own first.
own="-o Dir::State::lists=$scratch/lists -o Dir::Cache::archives=$scratch/archives"
own="$own -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1"
# shellcheck disable=SC2086 # options, split on purpose
if ! apt-get -qq download prometheus >log 2>&1 &&
    ! { apt-get -qq $own update && apt-get -qq $own download prometheus; } >log 2>&1; then
    cat log >&2
    exit 1
fi
cd - >/dev/null
mkdir -p "$folder"
dpkg -x "$scratch"/prometheus_*.deb "$scratch/package"
mv "$scratch/package/usr/bin/prometheus" "$scratch/package/usr/bin/promtool" "$folder"
