"""`python -m apps.chat.client`: see `commands`."""

import sys

from apps.chat.client.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
