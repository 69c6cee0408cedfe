def parser(text):
    return text.split()
