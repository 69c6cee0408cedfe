"""Acting on a running node: the control socket, the operations behind it, and the commands that use it."""
