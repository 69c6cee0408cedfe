from limits import NAMES, TIMEOUT
