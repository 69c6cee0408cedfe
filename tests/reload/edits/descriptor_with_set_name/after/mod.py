from fields import Field


class Person:
    age = Field(18)
    size = Field(1)
