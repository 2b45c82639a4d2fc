#!/usr/bin/env bash
# The system libraries that Open3D needs to import: installed where that is possible, else named.
set -euo pipefail

[ "$(uname -s)" = Linux ] || exit 0

missing=()
for pair in libusb-1.0.so.0:libusb-1.0-0 libGL.so.1:libgl1 libgomp.so.1:libgomp1; do
    # ldconfig is outside of an ordinary user's PATH on Debian.
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | grep -F "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -qq -y "${missing[@]}" >/dev/null && exit 0
fi
echo "Reading point clouds needs system libraries that are missing: ${missing[*]} (Debian: sudo apt-get install ${missing[*]})" >&2
