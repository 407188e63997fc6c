from util import title

TEXT = "x"
print(title(TEXT))
