#!/bin/sh
# Install EchoLM from its source: the build of containers/Dockerfile and containers/echolm.def.
#
#   sh containers/build.sh SOURCE PREFIX [PIP ARGUMENT ...]
#
# SOURCE is the folder of pyproject.toml, PREFIX the virtual environment that is made. Further
# arguments go to pip: "-c SOURCE/constraints/cpu.txt" takes the CPU pair of torch and torchvision.
set -eu
umask 022 # whoever runs the container reads what root installs
source=$1
prefix=$2
shift 2

python3 -m venv "$prefix"
"$prefix/bin/python" -m pip install --no-cache-dir --disable-pip-version-check "$@" "$source"

# What was installed runs, and not what lies in the current folder.
cd /
"$prefix/bin/echolm" --version
"$prefix/bin/echolm" grid list
