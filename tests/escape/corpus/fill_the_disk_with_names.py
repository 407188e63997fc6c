"""Makes files without anything in them until there is no room for names."""

import os

for number in range(12_000):
    if number % 1000 == 0:
        os.mkdir(str(number // 1000))
    os.close(os.open(f"{number // 1000}/{number}", os.O_CREAT | os.O_WRONLY))
print("ESCAPED")
