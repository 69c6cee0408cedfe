"""Front door 1: the compact msgpack protocol over TLS."""
