"""A messenger of WhatsApp's kind: store-and-forward, check marks, nothing lost."""
