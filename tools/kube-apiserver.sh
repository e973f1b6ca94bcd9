#!/usr/bin/env bash
# Builds a kube-apiserver for tests/methods/test_kubernetes_cluster.py: tools/kube-apiserver.sh FOLDER [VERSION]
#
#   tools/kube-apiserver.sh ~/kube 1.34.2 && WATCHWORD_KUBE_BIN=~/kube make soak ARGS="-m cluster"
#
# It takes Go 1.24 or newer, ten to thirty minutes, 3 GB of disk for Go's caches, and no more than Go's own
# settings to fetch modules. The binary alone stays in FOLDER. etcd comes from the system: apt-get install etcd-server.
set -euo pipefail

folder=$(realpath -m "${1:?the folder for the binary}")
version=${2:-1.34.2}
export GOFLAGS="${GOFLAGS:-} -buildvcs=false -mod=mod"

mkdir -p "$folder"
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"

printf 'module kube\n\ngo 1.24.0\n\nrequire k8s.io/kubernetes v%s\n' "$version" > go.mod
# The parts of Kubernetes are modules of their own, each v0.Y.Z beside v1.Y.Z; its go.mod replaces them by folders.
main=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -nE 's/^[[:space:]]*"GoMod": "(.*)",?$/\1/p')
sed -nE "s,^[[:space:]]*(k8s.io/[a-z0-9-]+) => ./staging/.*,replace \1 => \1 v0.${version#*.},p" "$main" >> go.mod
printf '//go:build tools\n\npackage kube\n\nimport _ "k8s.io/kubernetes/cmd/kube-apiserver"\n' > tools.go
go build -p "${JOBS:-1}" -ldflags "-s -w" -o "$folder/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver
echo "$folder/kube-apiserver is of Kubernetes $version"
