"""Who is known to this device: people and what recognises them, sealed on the disk and ready in memory."""
