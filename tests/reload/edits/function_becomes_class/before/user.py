from mod import parser


def parse(text):
    return parser(text)
