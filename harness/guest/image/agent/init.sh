#!/bin/busybox sh
# First process of the guest: does what `sevh.*` on the kernel command line asks for, then what is asked on the console.
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /run
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs -o mode=0700 run /run
/bin/busybox mount -t securityfs security /sys/kernel/security 2>/dev/null
exec </dev/console >/dev/console 2>&1
# Off by default below 512 MiB; large pages make few runs of the memory of a canary.
echo madvise >/sys/kernel/mm/transparent_hugepage/enabled
# Only emergencies of the kernel may come between our lines.
/bin/busybox dmesg -n 1
/bin/busybox stty -echo

# The value of a parameter, or nothing.
asked() {
  for word in $(/bin/busybox cat /proc/cmdline); do
    case "$word" in "$1"=*) echo "${word#*=}" ;; esac
  done
}

load_modules() {
  for file in /modules/*.ko; do
    [ -e "$file" ] || continue
    name=${file##*/[0-9][0-9]-}
    if reason=$(/bin/busybox insmod "$file" 2>&1); then loaded="$loaded ${name%.ko}"
    else agent problem "module $name: $reason"; fi
  done
}

tell_secrets() {
  folder=/sys/kernel/security/secrets/coco
  from='"efi-secret"'
  if ! [ -d "$folder" ]; then
    folder=/run/secrets
    from='"memory"'
    /bin/busybox mkdir -p "$folder"
    place=$(asked sevh.secret)
    if [ -n "$place" ]; then agent extract-secrets "$place" "$folder"; else from=null; fi
  fi
  count=0
  for file in "$folder"/*; do
    [ -f "$file" ] || continue
    digest=$(/bin/busybox sha256sum <"$file")
    echo "SEVH {\"event\":\"secret\",\"guid\":\"${file##*/}\",\"sha256\":\"${digest%% *}\"}"
    count=$((count + 1))
  done
  because=null
  [ "$from" = null ] && because='"no efi_secret driver, and no sevh.secret=0x<address> to look at"'
  echo "SEVH {\"event\":\"secrets\",\"count\":$count,\"from\":$from,\"because\":$because}"
}

power_off() {
  echo "SEVH {\"event\":\"power-off\",\"because\":\"$1\"}"
  # The serial port must have sent it.
  /bin/busybox sleep 0.2
  /bin/busybox poweroff -f
}

workloads() {
  rounds=$(asked sevh.rounds)
  for name in $(echo "$1" | /bin/busybox tr , ' '); do agent workload "$name" "${2:-${rounds:-5}}"; done
}

loaded=
load_modules
agent ready $loaded
agent cpu
agent encryption
tell_secrets
canary=$(asked sevh.canary)
canary_kib=$(asked sevh.canary-kib)
[ -n "$canary" ] && agent canary "$canary" "${canary_kib:-2048}"
equal_pages=$(asked sevh.equal-pages)
[ -n "$equal_pages" ] && agent equal-pages "${equal_pages%%,*}" "${equal_pages#*,}"
workloads "$(asked sevh.workload)"
[ "$(asked sevh.power-off)" = idle ] && power_off 'command line'
(agent power-button /run/watching && power_off 'power button') &
until [ -e /run/watching ]; do /bin/busybox sleep 0.05; done
echo 'SEVH {"event":"idle"}'
while read -r command subject rounds; do
  case "$command" in
    workload) workloads "$subject" "$rounds" ;;
    power-off) power_off console ;;
    '') ;;
    *) agent problem "the console asks for '$command', which is neither workload nor power-off" ;;
  esac
done
# Without a first process the kernel panics.
while :; do /bin/busybox sleep 3600; done
