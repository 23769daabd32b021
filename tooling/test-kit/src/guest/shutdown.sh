#!/bin/busybox sh
# What the guest agent calls for a shutdown or a reboot.
/bin/sync
/bin/umount /mnt 2> /dev/null
case " $* " in
  *" -r "*) /bin/reboot -f ;;
  *) /bin/poweroff -f ;;
esac
