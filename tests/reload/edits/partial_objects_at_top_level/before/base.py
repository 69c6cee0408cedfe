def power(base, exponent, plus=0):
    return base**exponent + plus
