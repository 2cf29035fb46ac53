"""People whom all devices of a site know, shared over NATS JetStream."""
