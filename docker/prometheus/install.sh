#!/bin/sh
# Puts prometheus and promtool into a folder, unless they are on PATH: Debian's and Ubuntu's packages, unpacked
# without root, no service started. Usage: install.sh FOLDER
set -eu
folder=$1

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    exit 0
fi

give_up() {
    echo "prometheus and promtool are not on PATH, and $1; install them: brew install prometheus, or see https://prometheus.io/download" >&2
    exit 1
}
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    give_up "there is no apt to fetch them with"
fi

echo "Installing Prometheus into $folder"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/lists/partial" "$scratch/archives/partial"
cd "$scratch"
own="-o Dir::State::lists=$scratch/lists -o Dir::Cache::archives=$scratch/archives"
own="$own -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1"

# Unpacks a package. Without a list of packages, or with one that is out of date, apt fetches a list of its own first.
unpack() {
    # shellcheck disable=SC2086 # options, split on purpose
    apt-get -qq download "$1" >log 2>&1 ||
        { apt-get -qq $own update && apt-get -qq $own download "$1"; } >log 2>&1 ||
        give_up "apt cannot fetch $1 ($(grep '^E: ' log | tail -n 1))"
    dpkg -x "$1"_*.deb package
}
unpack prometheus
# A package of its own since Debian 13.
[ -e package/usr/bin/promtool ] || unpack promtool

cd - >/dev/null
mkdir -p "$folder"
mv "$scratch/package/usr/bin/prometheus" "$scratch/package/usr/bin/promtool" "$folder"
