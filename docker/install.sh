#!/bin/sh
# Installs Fewstep for a Python, by uv and at the versions of requirements.lock. The Makefile and the images use it.
# Usage, in the project's folder: install.sh PYTHON ARGUMENT..., which are what pip would be given: -e '.[worker,local]'
#
# With TORCH=cpu PyTorch comes from its index of CPU builds if that answers at once, with TORCH=cuda from where everything
# comes from, which on PyPI means four gigabytes of CUDA. Without either it depends on whether NVIDIA's driver is here.
set -eu
python=$("$1" -c 'import sys; print(sys.executable)')
shift

# What pip is set to on this machine holds for uv too, unless uv has a setting of its own.
# In pip the environment has the last word, then the section for installing.
settings=$("$python" -m pip config list)
setting() {
    for section in :env: install global; do
        value=$(printf '%s\n' "$settings" | sed -n "s/^$section\.$1=['\"]\(.*\)['\"]\$/\1/p" | sed 's/\\n/ /g')
        if [ -n "$value" ]; then break; fi
    done
    echo "$value"
}
export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-$(setting index-url)}}"
export UV_EXTRA_INDEX_URL="${UV_EXTRA_INDEX_URL:-$(setting extra-index-url)}"
export UV_INSECURE_HOST="${UV_INSECURE_HOST:-$(setting trusted-host)}"
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-$(setting '.*timeout')}"
export ALL_PROXY="${ALL_PROXY:-$(setting proxy)}"
export SSL_CERT_FILE="${SSL_CERT_FILE:-$(setting cert)}"
export SSL_CLIENT_CERT="${SSL_CLIENT_CERT:-$(setting client-cert)}"
# pip takes the best version of all indexes, uv by itself that of the first index that has the package.
export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
# Here and not as an option, which would replace the machine's own.
export UV_CONSTRAINT="requirements.lock ${UV_CONSTRAINT:-$(setting constraint)}"
# pip overlooks a folder that is not there.
if [ -z "${UV_FIND_LINKS-}" ]; then
    for place in $(setting find-links); do
        case $place in *://*) ;; *) [ -e "$place" ] || continue ;; esac
        UV_FIND_LINKS=${UV_FIND_LINKS:+$UV_FIND_LINKS,}$place
    done
    export UV_FIND_LINKS="${UV_FIND_LINKS-}"
fi

"$python" -m pip install -qq --disable-pip-version-check --constraint requirements.lock uv
# Where no cache can be kept, as without a home, uv would give up and pip does not.
mkdir -p "$("$python" -m uv cache dir)" 2>/dev/null || export UV_NO_CACHE=1

if [ -z "${TORCH-}" ]; then
    TORCH=cpu
    if [ -e /dev/nvidiactl ] || command -v nvidia-smi >/dev/null; then TORCH=cuda; fi
fi
# Asked beforehand, since an installation that fails may have failed of anything.
if [ "$TORCH" = cpu ] && echo torch | UV_HTTP_RETRIES=0 UV_HTTP_TIMEOUT=5 "$python" -m uv pip compile \
    --python "$python" --no-deps --torch-backend cpu - >/dev/null 2>&1; then
    export UV_TORCH_BACKEND=cpu
fi
exec "$python" -m uv pip install --quiet --python "$python" "$@"
