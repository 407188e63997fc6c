"""Writes a setting of the kernel (its own value, so nothing changes)."""

name = "/proc/sys/vm/swappiness"
with open(name, "r+") as file:
    value = file.read()
    file.seek(0)
    file.write(value)
print("ESCAPED")
