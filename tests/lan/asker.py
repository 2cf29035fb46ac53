"""Asks for the addresses of NAME from the interface with ADDRESS, as a client that is no responder (RFC 6762, 6.7)."""

import json
import socket
import sys

from zeroconf import DNSAddress, DNSIncoming, DNSOutgoing, DNSQuestion

A, IN = 1, 1

question = DNSOutgoing(0, multicast=False)
question.add_question(DNSQuestion(sys.argv[1], A, IN))
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.settimeout(1.5)
wire.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[2]))
(packet,) = question.packets()
wire.sendto(packet, ("224.0.0.251", 5353))
found = []
try:
    while True:
        message = DNSIncoming(wire.recv(9000))
        found += [socket.inet_ntoa(each.address) for each in message.answers() if isinstance(each, DNSAddress)]
except TimeoutError:
    print(json.dumps(sorted(found)))
