import b

b.TABLE["late"] = 1
b.NAMES.extend("cc")
raise RuntimeError("no")
