#!/usr/bin/env bash
# gpiozero 2.0.1.post3 on lgpio 0.2.2.0, Debian bookworm arm64, Linux 6.1 with its driver of the Pi's pins; a Raspberry Pi 4 of qemu 10;
# 2026-11-28.
#
# Question: GPIO 17 of a Raspberry Pi has a pull-down from power-on. A gpiozero program switches a relay with it and ends in order.
# What holds the pin afterwards?
# Guess: the pull-down, as before: the pin is an input again, and low.
# Seen: nothing, until the next power-on. gpiozero asks lgpio for a pin without pull the moment it makes one, and again when it closes it; the
# setting stays in the chip. A button's pull-up is gone in the same way when its program ends. What listens to such a pin listens to noise.
# libgpiod's gpioset and gpioget leave the pull alone. The cure is to set `pull` of the closed pin.
# Needs root and an x86-64 Debian; everything is made in a temporary folder, in some five minutes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'umount -q "$scratch"/host/dev "$scratch"/host/proc || true; rm -rf --one-file-system "$scratch"' EXIT
trap 'exit 1' INT TERM
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 1; }
command -v debootstrap >/dev/null && command -v pip >/dev/null || {
    apt-get update -qq >&2
    apt-get install -qq -y --no-install-recommends debootstrap python3-pip >&2
}
pi=$scratch/pi host=$scratch/host

# A newer qemu than bookworm's, for its Pi 4.
debootstrap --variant=minbase --include=qemu-system-arm,device-tree-compiler,cpio trixie "$host" >"$scratch/log" 2>&1 || { tail "$scratch/log"; exit 1; }
# The Pi's files are unpacked and not installed, since nothing here runs arm64 programs.
debootstrap --foreign --arch=arm64 --variant=minbase --include=linux-image-arm64,python3,gpiod,busybox-static bookworm "$pi" \
    >"$scratch/log" 2>&1 || { tail "$scratch/log"; exit 1; }
for package in "$pi"/var/cache/apt/archives/*.deb; do
    dpkg-deb -x "$package" "$pi" 2>/dev/null
done
pip -q download --disable-pip-version-check --no-deps --python-version 3.11 --only-binary :all: --platform manylinux_2_34_aarch64 \
    -d "$scratch/wheels" gpiozero==2.0.1.post3 lgpio==0.2.2.0 colorzero==2.0 2>>"$scratch/log"
for wheel in "$scratch"/wheels/*.whl; do
    python3 -m zipfile -e "$wheel" "$pi/opt/python"
done
mkdir "$host/pi"
cp "$pi"/boot/vmlinuz-* "$host/pi/vmlinuz"
cp "$pi"/usr/lib/linux-image-*/broadcom/bcm2711-rpi-4-b.dtb "$host/pi/dtb"
for part in interrupt-controller@7ef00100 clock@7ef00000 hdmi@7ef00700 i2c@7ef04500 hdmi@7ef05700 i2c@7ef09500; do # what qemu's Pi does not have
    chroot "$host" fdtput -t s /pi/dtb "/soc/$part" status disabled
done
rm -rf "$pi"/boot "$pi"/lib/modules "$pi"/usr/lib/linux-image-* "$pi"/var/cache "$pi"/usr/share/{doc,locale,man,zoneinfo} "$pi/debootstrap"
cat >"$pi/init" <<'INIT'
#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 PYTHONPATH=/opt/python GPIOZERO_PIN_FACTORY=lgpio
alias busybox=/bin/busybox
busybox mount -t proc proc /proc; busybox mount -t sysfs sys /sys; busybox mount -t devtmpfs dev /dev; busybox mount -t tmpfs tmp /tmp
busybox cp /proc/cpuinfo /tmp/cpuinfo; echo 'Revision : c03114' >>/tmp/cpuinfo # gpiozero asks for a Pi's revision; qemu gives none
busybox mount --bind /tmp/cpuinfo /proc/cpuinfo
echo "--- begin: Linux $(busybox uname -r), $(busybox cat /proc/device-tree/model | busybox tr -d '\000')"
cd /tmp; python3 /program.py 2>&1
echo "--- end: $?"
busybox poweroff -f
INIT
chmod +x "$pi/init"
cat >"$pi/program.py" <<'PROGRAM'
import mmap
import os
import struct
import subprocess
import sys

PULLS = {0: "none", 1: "up", 2: "down"}
# GPIO_PUP_PDN_CNTRL_REG0 to 3 of the BCM2711: two bits a pin from offset 0xe4 (BCM2711 ARM peripherals, chapter 5)
registers = mmap.mmap(os.open("/dev/mem", os.O_RDWR | os.O_SYNC), 4096, offset=0xFE200000)


def pull(pin: int) -> str:
    place = 0xE4 + pin // 16 * 4
    (word,) = struct.unpack("<I", registers[place : place + 4])
    return PULLS[word >> pin % 16 * 2 & 3]


def during_and_after(pin: int, program: str, *, kill: bool = False) -> tuple[str, str, str]:
    before = pull(pin)
    code = f"import sys, gpiozero\n{program.format(pin=pin)}\nprint(flush=True)\nsys.stdin.readline()\n"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        during = pull(pin)
        process.kill() if kill else process.stdin.write("\n")
    seen = before, during, pull(pin)
    print(f"GPIO {pin}, {program}{' (killed)' if kill else ''}: pull before, during, after: {seen}")
    return seen


RELAY, BUTTON = "device = gpiozero.DigitalOutputDevice({pin})", "device = gpiozero.Button({pin})"
assert during_and_after(17, RELAY) == ("down", "none", "none")
assert during_and_after(18, RELAY, kill=True) == ("down", "none", "none")
assert during_and_after(22, BUTTON) == ("down", "up", "none")
cure = RELAY + "; pin = device.pin; device.close(); pin.pull = 'down'"
assert during_and_after(23, cure) == ("down", "down", "down")
subprocess.run(["gpioset", "gpiochip0", "24=1"], check=True)
subprocess.run(["gpioget", "gpiochip0", "24"], check=True)
print("GPIO 24, gpioset and gpioget: pull after:", pull(24))
assert pull(24) == "down"
PROGRAM
mount --bind /proc "$host/proc"
mount --bind /dev "$host/dev"
mount --bind "$pi" "$host/mnt"
chroot "$host" sh -c 'cd /mnt && find . | cpio -o -H newc --quiet | gzip -1 >/pi/initrd'
umount "$host/mnt"
timeout --kill-after=10 600 chroot "$host" qemu-system-aarch64 -M raspi4b -kernel /pi/vmlinuz -dtb /pi/dtb -initrd /pi/initrd \
    -append "console=ttyAMA0 earlycon=pl011,0xfe201000 rdinit=/init panic=-1 iomem=relaxed quiet" -display none -monitor none -serial file:/pi/console -no-reboot \
    >"$scratch/log" 2>&1 &
qemu=$!
until grep -qa '^--- end' "$host/pi/console" 2>/dev/null || ! kill -0 $qemu 2>/dev/null; do
    sleep 2 # a Pi that is switched off stays so, and qemu with it
done
pkill -P $qemu qemu-system || true
wait $qemu || true
tr -d '\r\000' <"$host/pi/console" | sed -n '/^--- begin/,/^--- end/p'
grep -qa '^--- end: 0' "$host/pi/console" || { tail -n 15 "$host/pi/console"; echo "not seen"; exit 1; }
