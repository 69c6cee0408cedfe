import contextvars

USER = contextvars.ContextVar("user", default="nobody")
TOKEN = contextvars.ContextVar("token")
TRACE = contextvars.ContextVar("trace", default=0)


def who():
    return USER.get(), TRACE.get()
