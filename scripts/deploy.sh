#!/usr/bin/env bash
# Judges the files of `deploy` by the tools that know their formats: the manifests of
# Kubernetes by its schemas, the playbook by Ansible, the Dockerfile by the parser that
# editors use. Needs Python with venv, and the packages of tests/js.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${CARGO_TARGET_DIR:-target}/deploy
wanted=deploy/requirements.txt
if ! cmp -s "$wanted" "$venv/$(basename "$wanted")"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$venv"
fi
"$venv/bin/kubernetes-validate" --strict --quiet deploy/kubernetes/*.yaml
"$venv/bin/ansible-playbook" --syntax-check -i 'hosts,' deploy/ansible/host.yml
tests/js/node_modules/.bin/dockerfile-utils lint deploy/Dockerfile
echo 'deploy: nothing is wrong with it'
