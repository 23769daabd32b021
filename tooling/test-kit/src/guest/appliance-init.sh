#!/bin/busybox sh
# The first process of libguestfs's appliance, first in the initramfs (modules, the appliance's disk), then on that disk.
# libguestfs's own script starts udev and scans for RAID and Windows disks: without KVM that takes three times as long.
B=/bin/busybox
if [ "$1" != appliance ]; then
  $B mkdir -p /proc /sys /dev /root
  $B mount -t proc proc /proc
  $B mount -t sysfs sys /sys
  $B mount -t devtmpfs dev /dev
  while read -r module; do $B insmod "/modules/$module"; done < /modules/order
  id=$($B sed -n 's/.*root=UUID=\([^ ]*\).*/\1/p' /proc/cmdline)
  # A disk may show up a moment after its driver.
  for try in 1 2 3 4 5 6 7 8 9 10; do
    disk=$($B findfs "UUID=$id") && break
    $B usleep 100000
  done
  $B mount -t ext4 "$disk" /root
  $B cp /bin/busybox /root/bin/busybox
  $B cp /init /root/init
  for folder in dev proc sys; do $B mount --move "/$folder" "/root/$folder"; done
  exec $B switch_root /root /init appliance
fi

export PATH=/usr/sbin:/usr/bin:/sbin:/bin LVM_SYSTEM_DIR=/run/lvm
$B mount -t tmpfs -o mode=0755 run /run
$B mkdir -p /run/lock /run/lvm /sysroot /dev/pts /dev/shm /dev/disk/by-path /dev/virtio-ports
$B mount -t devpts devpts /dev/pts
$B mount -t tmpfs shm /dev/shm
$B ln -s /proc/self/fd /dev/fd
$B ip link set dev lo up
# What udev would do.
for port in /sys/class/virtio-ports/*; do $B ln -s "../${port##*/}" "/dev/virtio-ports/$($B cat "$port/name")"; done
echo 'devices { use_devicesfile = 0 } activation { udev_sync = 0 udev_rules = 0 verify_udev_operations = 0 }' > /run/lvm/lvm.conf
# The kernel names disks in the order in which they answer; libguestfs goes by these links.
for device in /sys/bus/scsi/devices/[0-9]*; do
  for try in 1 2 3 4 5 6 7 8 9 10; do
    [ -d "$device/block" ] && break
    $B usleep 100000
  done
  for disk in "$device"/block/*; do $B ln -s "../../${disk##*/}" "/dev/disk/by-path/scsi-${device##*/}"; done
done
lvm vgchange -aay --sysinit
guestfsd
$B sync
$B reboot -f
