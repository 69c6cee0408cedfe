CASE = {
    "title": "the protocol class of a live TCP connection changes: callbacks, framing, and a new method",
    "must": "the socket stays; what comes next is handled by the new code, with the state there is",
}


def check(h):
    from gevent import socket
    from runtime.kernel import run
    from runtime.net.listener import Listener, ListenerConfig, port, stop

    h.load()

    def main():
        listener = Listener.start_link(
            ListenerConfig(name="echo", host="127.0.0.1", port=0, protocol="mod:Echo")
        )
        with socket.create_connection(("127.0.0.1", port(listener))) as client:
            answers = client.makefile("rb")
            client.sendall(b"a\nb\n")
            got = [answers.readline(), answers.readline()]
            h.push()
            client.sendall(b"c\n")
            got.append(answers.readline())
            h.rollback()
            client.sendall(b"d\n")
            got.append(answers.readline())
            answers.close()
        stop(listener)
        return got

    assert run(main) == [b"old 1 a\r\n", b"old 2 b\r\n", b"new 3 C\r\n", b"old 4 d\r\n"]
