# The first process of a node of the bed: NAME HOME FREEZER, in namespaces of its own.
# It makes the node look like a machine and then only reaps; its end is the node's power loss.
set -e
hostname "$1"
mount --make-rprivate /
mount --bind "$2/hosts" /etc/hosts
mount --bind "$2/resolv.conf" /etc/resolv.conf
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -m 1777 /run/tmp
if [ -n "$3" ]; then mount --bind "$3" /sys/fs/cgroup/freezer; fi
ip link set lo up
echo ready
exec >/dev/null 2>&1
trap '' HUP TERM
while :; do
    sleep 86400 &
    wait
done
