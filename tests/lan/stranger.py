"""Shouts records of appliances that are none, and packets that are no records, into eth0."""

import random
import socket
import struct
import time

GROUP, PORT = "224.0.0.251", 5353
SERVICE = b"\x08_faceapi\x04_tcp\x05local\x00"
PTR, TXT, SRV, A = 12, 16, 33, 1


def label(content):
    return bytes([len(content)]) + content


def record(name, kind, data):
    return name + struct.pack(">HHIH", kind, 1, 120, len(data)) + data


def device(instance, text):
    name, host = label(instance) + SERVICE, label(b"stranger") + b"\x05local\x00"
    records = [
        record(SERVICE, PTR, name),
        record(name, SRV, struct.pack(">HHH", 0, 0, 80) + host),
        record(name, TXT, text),
        record(host, A, socket.inet_aton("10.97.0.2")),
    ]
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


dice = random.Random(4)
packets = [
    device(b"\x1b[31mloud", b""),
    device(b"[red]loud[/red]", label(b"st=\x1b]0;owned\x07")),
    device(b"\xff\xfe\x80", label(b"api=\xff\xfe") + label(b"=nothing") + label(b"st") + label(b"")),
    device(b"right\xe2\x80\xaeleft", b"\xffshorter than it says"),
    device(b"no text", b""),
    device(b"\xff" * 63, label(b"txtvers=" + b"9" * 200)),
    device(b"dotted.name", label(b"tls=1") + label(b"fp=" + b"x" * 250)),
    record(SERVICE, PTR, label(b"elsewhere") + b"\x05_ipps\x04_tcp\x05local\x00"),
    struct.pack(">HHHHHH", 0, 0x8400, 0, 1, 0, 0) + record(SERVICE, PTR, b"\x05local\x00"),
    struct.pack(">HHHHHH", 0, 0x8400, 0, 65535, 0, 0) + b"\xc0\x0c" * 40,
    *(dice.randbytes(size) for size in (0, 1, 11, 12, 13, 100, 1400)),
]
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
wire.bind(("10.97.0.2", PORT))
wire.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.97.0.2"))
while True:
    for packet in packets:
        wire.sendto(packet, (GROUP, PORT))
    time.sleep(0.3)
