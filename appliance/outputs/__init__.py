"""What a decision sets off outside: a relay, a webhook, MQTT. Each one is off until it is configured."""
