def LIMIT():
    return 4


debug = False
