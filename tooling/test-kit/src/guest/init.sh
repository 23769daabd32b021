#!/bin/busybox sh
# Runs as the guest's first process: modules, file systems, then the guest agent for as long as the VM lives.
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /mnt /var/log /sbin /bin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin:/sbin HOME=/ LANG=C

while read -r module; do
  insmod "/modules/$module" || echo "module $module does not load"
done < /modules/order

# vda may show up a moment after its driver.
for try in 1 2 3 4 5 6 7 8 9 10; do
  [ -b /dev/vda ] || [ -b /dev/sda ] && break
  sleep 0.1
done
for disk in /dev/vda /dev/vda1; do
  [ -b "$disk" ] && mount -t ext4 "$disk" /mnt 2> /dev/null && break
done

while :; do
  for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name" 2> /dev/null)" = org.qemu.guest_agent.0 ] || continue
    echo "guest agent on ${port##*/}"
    /usr/sbin/qemu-ga -m virtio-serial -p "/dev/${port##*/}" -t /run -f /run/qga.pid
  done
  sleep 0.2
done
