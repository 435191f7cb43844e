#!/usr/bin/env bash
# Builds the project's Python environment on one node, before EMR installs its applications.
#
#   bootstrap.sh RELEASE_URI REGION VENV
#
# RELEASE_URI  s3:// folder with requirements-cluster.lock, the project's wheel and wheelhouse/
# REGION       the bucket's region
# VENV         absolute path of the environment, the same on every node
#
# Needs no network but S3. Run again, it builds the environment anew. EMR gives up a node on which
# it fails; what it printed is then in LogUri, under <cluster>/node/<instance>/bootstrap-actions/.
set -Eeuo pipefail

log() { printf '%s bootstrap: %s\n' "$(date -u +%FT%TZ)" "$*"; }

fail() {
  log "error: $*" >&2
  exit 1
}

trap 'log "error: line $LINENO: $BASH_COMMAND" >&2' ERR

[[ $# -eq 3 ]] || fail "usage: bootstrap.sh RELEASE_URI REGION VENV, got $# arguments"
release=${1%/}
export AWS_DEFAULT_REGION=$2
venv=$3
[[ $release == s3://* ]] || fail "RELEASE_URI must begin with s3://, got $release"
[[ $venv == /?* ]] || fail "VENV must be an absolute path, got $venv"

# YARN runs drivers and executors as other users: they must be able to read the environment.
umask 022
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT

log "fetching $release"
aws s3 cp --recursive --only-show-errors "$release/" "$folder/"

lock=$folder/requirements-cluster.lock
[[ -s $lock ]] || fail "$release has no requirements-cluster.lock"
shopt -s nullglob
project=("$folder"/fruit_features-*.whl)
[[ ${#project[@]} -eq 1 ]] || fail "$release must hold one fruit_features wheel, got ${#project[@]}"

log "building $venv from $(command -v python3.11)"
sudo install --directory --owner="$(id -un)" "$venv"
python3.11 -m venv --clear "$venv"
# -I: nothing of the node's environment or working folder is imported.
python=("$venv/bin/python" -I)
install=("${python[@]}" -m pip install --no-index --no-cache-dir
  --disable-pip-version-check --progress-bar off)
# The lock is whole, so nothing is resolved.
"${install[@]}" --no-deps --find-links "$folder/wheelhouse" --require-hashes -r "$lock"
"${install[@]}" --no-deps "${project[0]}"

log "checking $venv"
"${python[@]}" -m pip check
# Modules that need pyspark are left out: it comes with the cluster, later.
"${python[@]}" - <<'EOF'
import boto3, keras, matplotlib, numpy, openvino, pandas, PIL, pyarrow, seaborn, sklearn
import helpers.network.export, helpers.network.inference
import helpers.photos.decode, helpers.storage.s3
EOF

log "ready: $(du -sh "$venv" | cut -f1) in $venv"
