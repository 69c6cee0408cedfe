from base import Plugin


class Json(Plugin):
    def load(self):
        return "json"


class Text(Plugin):
    def load(self):
        return "text"
