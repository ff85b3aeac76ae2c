#!/bin/sh
# The first process of the guest: file systems, wanted modules, the test's script, its exit code on the console.
# Kept in step with machine.rs, which looks for the markers.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/busybox HOME=/root
umask 022
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /dev/net
# There before the module, as on Debian: opening it loads tun.
mknod /dev/net/tun c 10 200
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
exec </dev/ttyS0 >/dev/ttyS0 2>&1
# What is sent is not echoed, lines end as they are written.
stty -echo -onlcr
while read -r module; do
    insmod "/lib/modules/$(uname -r)/$module" || echo "cannot insert $module"
done </etc/preload
# The end even if nobody is left to kill the machine.
(
    sleep "$(sed -n 's/.*portreeve.timeout=\([0-9]*\).*/\1/p' /proc/cmdline)"
    poweroff -f
) &
cd /
# What it says from here on is of the script.
dmesg -c >/dev/null
echo PORTREEVE-INIT
sh /script
code=$?
# No message of the kernel may come between the letters of the marker.
dmesg -n 1
printf '\nPORTREEVE-EXIT %s\n' "$code"
[ "$code" = 0 ] || dmesg | tail -n 50
# Setting anything waits until all is transmitted.
stty onlcr
poweroff -f
