# ask.py
import socket
import sys

with socket.create_connection(("127.0.0.1", 7333)) as connection, connection.makefile("rw") as lines:
    for line in sys.argv[1:]:
        print(line, file=lines, flush=True)
        print(lines.readline().strip())
