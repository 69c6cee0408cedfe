import contextvars

USER = contextvars.ContextVar("user", default="nobody")
TOKEN = contextvars.ContextVar("token")


def who():
    return USER.get()
