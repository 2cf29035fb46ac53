"""Prints every record that is announced on eth0 by multicast DNS, one as JSON a line; independent of who announces it."""

import json
import socket
import struct

from zeroconf import DNSAddress, DNSIncoming, DNSPointer, DNSService, DNSText

GROUP, PORT = "224.0.0.251", 5353

wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
wire.bind((GROUP, PORT))
wire.setsockopt(
    socket.IPPROTO_IP,
    socket.IP_ADD_MEMBERSHIP,
    struct.pack("=4s4si", socket.inet_aton(GROUP), bytes(4), socket.if_nametoindex("eth0")),
)
print(json.dumps({"kind": "listening"}), flush=True)
while True:
    packet, (source, _) = wire.recvfrom(9000)
    message = DNSIncoming(packet)
    if not message.is_response():
        continue
    for record in message.answers():
        match record:
            case DNSPointer():
                value = record.alias
            case DNSService():
                value = f"{record.server} {record.port}"
            case DNSText():
                value = record.text.decode("latin-1")
            case DNSAddress():
                value = socket.inet_ntop(
                    socket.AF_INET if len(record.address) == 4 else socket.AF_INET6, record.address
                )
            case _:
                continue
        kind = type(record).__name__.removeprefix("DNS")
        told = {"kind": kind, "name": record.name, "value": value, "ttl": record.ttl, "from": source}
        print(json.dumps(told), flush=True)
