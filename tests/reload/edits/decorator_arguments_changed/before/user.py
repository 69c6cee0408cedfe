from mod import ask

TABLE = {"ask": ask}
