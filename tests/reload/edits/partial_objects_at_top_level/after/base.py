def power(base, exponent, plus=100):
    return base**exponent + plus
