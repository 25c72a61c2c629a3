#!/usr/bin/env bash
# Makes a folder with a Debian 13 in it, for the tests of its newer backup tools: scripts/debian13.sh [DIR]. Needs root, and takes about two
# minutes and 1 GiB; a folder that is complete is left as it is. Everything comes from the mirror that this machine is set up with.
set -euo pipefail
dir=${1:-${KOVCHEG_DEBIAN13:-$HOME/.cache/kovcheg-debian13}}
[ ! -e "$dir/complete" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "a Debian 13 in $dir can only be made by root" >&2
    exit 1
fi
command -v mmdebstrap >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends mmdebstrap; }
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -1)
rm -rf "$dir"
mkdir -p "$(dirname "$dir")"
mmdebstrap --quiet --variant=apt --mode=root --components=main trixie "$dir" "$mirror"
# No server is started by its package.
printf '#!/bin/sh\nexit 101\n' > "$dir/usr/sbin/policy-rc.d"
chmod +x "$dir/usr/sbin/policy-rc.d"
mkdir -p "$dir/etc/postgresql-common"
echo 'create_main_cluster = false' > "$dir/etc/postgresql-common/createcluster.conf"
printf '127.0.0.1 localhost\n' > "$dir/etc/hosts"
chroot "$dir" apt-get update -q
chroot "$dir" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    postgresql-17 pgbackrest restic barman-cli-cloud python3-boto3 util-linux
touch "$dir/complete"
