A, B = 1, 2
(C, *REST), D = (3, 4, 5), 6
SUM = A + B + D
