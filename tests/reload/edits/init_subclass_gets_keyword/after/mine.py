from base import Plugin


class Json(Plugin, label="j"):
    def load(self):
        return "json"


class Text(Plugin, label="t"):
    def load(self):
        return "text"
