A, B = 1, 20
(C, *REST), D = (3, 4, 50), 6
SUM = A + B + D
